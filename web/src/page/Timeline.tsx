import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import type { View } from '../client/conversation';
import type { Info } from '../client/model';
import type { Shown } from '../client/overlay';
import { dayLabel } from './format';
import { useAttention, useClient, useName, useNames, useNow, useTitle } from './hooks';
import { DownIcon } from './icons';
import { MessageRow } from './MessageRow';
import { rows } from './rows';

/** As near to the end as counts as being there, in pixels. */
const NEAR = 80;

interface Props {
  readonly view: View;
  readonly info: Info;
  readonly onReply: (message: Shown) => void;
  readonly onEdit: (message: Shown) => void;
}

export function Timeline({ view, info, onReply, onEdit }: Props) {
  const client = useClient();
  const attentive = useAttention();
  const now = useNow(60_000);
  const scroller = useRef<HTMLDivElement>(null);
  const top = useRef<HTMLDivElement>(null);
  const seen = useRef({ height: 0, first: '', last: '' });
  const [atEnd, setAtEnd] = useState(true);
  const [newAfter, setNewAfter] = useState<number | null>(
    info.readMessages < info.messages ? info.readSeq : null,
  );
  const { id, messages, atStart, loading, loadingOlder } = view;

  // Whatever comes while nobody looks is new to whoever comes back.
  const [wasAttentive, setWasAttentive] = useState(attentive);
  if (wasAttentive !== attentive) {
    setWasAttentive(attentive);
    if (!attentive) setNewAfter(info.readSeq);
  }

  // From the message that was the last one when all was here, what others say is read out.
  const newest = messages.at(-1);
  const [opened, setOpened] = useState<number | null>(null);
  if (opened === null && !loading) setOpened(newest?.seq ?? 0);
  const said =
    newest?.content && newest.sender !== client.me && newest.seq > (opened ?? Infinity) ? newest : null;

  const list = useMemo(() => rows(messages, client.me, newAfter), [messages, client.me, newAfter]);
  const bySeq = useMemo(() => new Map(messages.map((message) => [message.seq, message])), [messages]);
  const seenBy = useMemo(() => readers(view, client.me), [view, client.me]);
  const seenByNames = useNames(seenBy);
  const speaker = useName(said?.sender ?? '');

  // What stood under the eyes stays there, whether something is added above or below.
  useLayoutEffect(() => {
    const box = scroller.current;
    if (!box) return;
    const first = messages[0]?.key ?? '';
    const last = messages.at(-1);
    const grewAbove = seen.current.first !== '' && first !== seen.current.first;
    const sentNow = last?.pending !== null && last?.key !== seen.current.last;
    if (grewAbove && !atEnd) box.scrollTop += box.scrollHeight - seen.current.height;
    else if (atEnd || sentNow) box.scrollTop = box.scrollHeight;
    seen.current = { height: box.scrollHeight, first, last: last?.key ?? '' };
  }, [messages, atEnd, seenBy, newAfter]);

  useEffect(() => {
    const box = scroller.current;
    if (!box) return;
    const observer = new ResizeObserver(() => {
      if (atEnd) box.scrollTop = box.scrollHeight;
    });
    observer.observe(box);
    return () => observer.disconnect();
  }, [atEnd]);

  useEffect(() => {
    if (attentive && atEnd && !loading) client.read(id);
  }, [client, id, attentive, atEnd, loading, messages]);

  useEffect(() => {
    const [root, target] = [scroller.current, top.current];
    if (!root || !target || loading || loadingOlder || atStart) return;
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (entry?.isIntersecting) void client.loadOlder(id);
      },
      { root, rootMargin: '600px 0px 0px' },
    );
    observer.observe(target);
    return () => observer.disconnect();
  }, [client, id, loading, loadingOlder, atStart]);

  const follow = () => {
    const box = scroller.current;
    if (box) setAtEnd(box.scrollHeight - box.scrollTop - box.clientHeight < NEAR);
  };
  const toEnd = () => {
    const box = scroller.current;
    if (box) box.scrollTop = box.scrollHeight;
    setAtEnd(true);
  };
  const unseen = atEnd ? 0 : messages.filter((it) => it.seq > info.readSeq && it.sender !== client.me).length;

  return (
    <div className="timeline-frame">
      <div className="timeline" ref={scroller} onScroll={follow} tabIndex={-1}>
        <div ref={top} className="timeline-top">
          {loading || loadingOlder ? <span className="spinner" role="status" aria-label="Loading" /> : null}
          {atStart && !loading && <Beginning info={info} />}
        </div>
        {/* Not live by itself: a page of older messages would be read out from its first to its last. */}
        <div role="log" aria-label="Messages" aria-live="off">
          {list.map((row) => {
            if (row.type === 'day') {
              return (
                <div key={row.key} className="day">
                  <span>{dayLabel(row.timeMs, now)}</span>
                </div>
              );
            }
            if (row.type === 'new') {
              return (
                <div key={row.key} className="new-line">
                  <span>New</span>
                </div>
              );
            }
            return (
              <MessageRow
                key={row.key}
                conversationId={id}
                message={row.message}
                first={row.first}
                last={row.last}
                grouped={info.kind !== 'direct'}
                mayModerate={info.role === 'admin' || info.role === 'owner'}
                answered={bySeq.get(row.message.replyTo)}
                onReply={onReply}
                onEdit={onEdit}
              />
            );
          })}
        </div>
        {seenBy.length > 0 && <p className="seen-by">Seen by {seenByNames}</p>}
      </div>
      <p className="visually-hidden" aria-live="polite">
        {said && `${speaker}: ${said.content?.text ?? ''}`}
      </p>
      {!atEnd && (
        <button className="button to-end" onClick={toEnd}>
          <DownIcon />
          {unseen > 0 ? `${unseen} new` : 'Latest'}
        </button>
      )}
    </div>
  );
}

function Beginning({ info }: { readonly info: Info }) {
  const title = useTitle(info);
  return (
    <div className="beginning">
      <h3>{info.kind === 'direct' ? `You and ${title}` : title}</h3>
      <p>{info.topic || 'This is where it begins. Say hello.'}</p>
    </div>
  );
}

/** Who has read one's own last message, if that is the last of all. */
function readers(view: View, me: string): readonly string[] {
  const last = view.messages.at(-1);
  if (last?.sender !== me || last.pending) return [];
  return view.markers.filter((it) => it.user !== me && it.readSeq >= last.seq).map((it) => it.user);
}
