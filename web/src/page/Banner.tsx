import { useState } from 'react';
import { useClient, useNexus, useNow } from './hooks';

/** Says that the connection is gone, and when it is tried again. */
export function Banner() {
  const client = useClient();
  const { link } = useNexus();
  const [wasOnline, setWasOnline] = useState(false);
  const [reason, setReason] = useState('');
  const now = useNow(link.state === 'waiting' ? 250 : null);
  if (link.state === 'online' && !wasOnline) setWasOnline(true);
  if (link.state === 'waiting' && link.reason !== reason) setReason(link.reason);
  if (link.state === 'online' || link.state === 'signed-out') return null;
  if (link.state === 'connecting') {
    if (!wasOnline && !reason) return null;
    return (
      <div className="banner" role="status">
        <span className="spinner" aria-hidden="true" />
        <span>Reconnecting…</span>
      </div>
    );
  }
  const seconds = Math.max(0, Math.ceil((link.until - now) / 1000));
  return (
    <div className="banner">
      <span className="spinner" aria-hidden="true" />
      <span>
        {/* The seconds are for the eye: read out, they would never end. */}
        <b aria-hidden="true">Reconnecting in {seconds} s.</b>{' '}
        <span className="banner-reason" role="status">
          <span className="visually-hidden">Not connected. </span>
          {link.reason}
        </span>
      </span>
      <button className="button small" onClick={() => client.reconnectNow()}>
        Try now
      </button>
    </div>
  );
}
