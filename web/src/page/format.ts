const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: 'long' });
const shortWeekday = new Intl.DateTimeFormat(undefined, { weekday: 'short' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const dayAndYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const shortDay = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

const DAY_MS = 86_400_000;

function startOfDay(ms: number): number {
  return new Date(ms).setHours(0, 0, 0, 0);
}

/** Whole days from one moment's day to another's. */
export function daysBetween(from: number, to: number): number {
  return Math.round((startOfDay(to) - startOfDay(from)) / DAY_MS);
}

export const clockTime = (ms: number): string => time.format(ms);
export const fullTime = (ms: number): string => full.format(ms);

/** A day as a heading: Today, Yesterday, Monday, Tuesday 3 March, 3 March 2024. */
export function dayLabel(ms: number, now: number): string {
  const ago = daysBetween(ms, now);
  if (ago <= 0) return 'Today';
  if (ago === 1) return 'Yesterday';
  if (ago < 7) return weekday.format(ms);
  return new Date(ms).getFullYear() === new Date(now).getFullYear() ? day.format(ms) : dayAndYear.format(ms);
}

/** A moment in the conversation list: 14:05, Mon, 3 Mar. */
export function briefTime(ms: number, now: number): string {
  if (ms === 0) return '';
  const ago = daysBetween(ms, now);
  if (ago <= 0) return time.format(ms);
  return ago < 7 ? shortWeekday.format(ms) : shortDay.format(ms);
}

/** "alice", "alice and bob", "alice, bob and 3 others". */
export function names(users: readonly string[]): string {
  const [first = '', second = '', third = ''] = users;
  switch (users.length) {
    case 0:
    case 1:
      return first;
    case 2:
      return `${first} and ${second}`;
    case 3:
      return `${first}, ${second} and ${third}`;
    default:
      return `${first}, ${second} and ${users.length - 2} others`;
  }
}
