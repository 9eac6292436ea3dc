import { useEffect, useState } from 'react';
import { useNexus } from './hooks';

const SHOWN_MS = 6_000;

export function Toast() {
  const { notice } = useNexus();
  const [gone, setGone] = useState(0);
  const id = notice?.id ?? 0;
  useEffect(() => {
    const timer = setTimeout(() => setGone(id), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [id]);
  return (
    <div className="toasts" role="alert">
      {notice && gone !== notice.id && <div className="toast">{notice.text}</div>}
    </div>
  );
}
