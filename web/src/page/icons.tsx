import type { ReactNode } from 'react';

interface Props {
  readonly className?: string;
}

function Icon({ children, className = '' }: Props & { readonly children: ReactNode }) {
  return (
    <svg className={`icon ${className}`} viewBox="0 0 24 24" aria-hidden="true">
      {children}
    </svg>
  );
}

/** The mark of Nexus: two ends, connected. */
export function Mark({ className = '' }: Props) {
  return (
    <svg className={`mark ${className}`} viewBox="0 0 64 64" aria-hidden="true">
      <rect className="mark-ground" width="64" height="64" rx="18" />
      <path className="mark-line" d="M20 44V22l24 20V20" />
      <circle className="mark-one" cx="20" cy="20" r="6" />
      <circle className="mark-two" cx="44" cy="44" r="6" />
    </svg>
  );
}

const paths = (...d: string[]) =>
  function PathIcon(props: Props) {
    return (
      <Icon {...props}>
        {d.map((path) => (
          <path key={path} d={path} />
        ))}
      </Icon>
    );
  };

export const SendIcon = paths(
  'M4.5 12 3.6 5.2c-.1-.9.8-1.6 1.6-1.2l15 7.1c.8.4.8 1.5 0 1.9l-15 7c-.8.4-1.7-.3-1.6-1.2z',
  'M4.5 12H12',
);
export const ReplyIcon = paths('M9 7 4 12l5 5', 'M4 12h10a6 6 0 0 1 6 6v1');
export const EditIcon = paths('M4 20l1-4L16.5 4.5a2.1 2.1 0 0 1 3 3L8 19z', 'M14.5 6.5l3 3');
export const TrashIcon = paths(
  'M4 7h16',
  'M9 7V4.5h6V7',
  'M6.5 7l.8 12.5h9.4L17.5 7',
  'M10 11v5',
  'M14 11v5',
);
export const SmileIcon = paths(
  'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z',
  'M8.5 14.2a4.4 4.4 0 0 0 7 0',
  'M9 9.5v.5',
  'M15 9.5v.5',
);
export const PlusIcon = paths('M12 5v14', 'M5 12h14');
export const CloseIcon = paths('M6 6l12 12', 'M18 6 6 18');
export const BackIcon = paths('M15 5l-7 7 7 7');
export const DownIcon = paths('M12 5v14', 'M6 13l6 6 6-6');
export const PeopleIcon = paths(
  'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z',
  'M2.5 20a6.5 6.5 0 0 1 13 0',
  'M16 4.3a3.5 3.5 0 0 1 0 6.4',
  'M18 14a6.5 6.5 0 0 1 3.5 6',
);
export const MoonIcon = paths('M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z');
export const LeaveIcon = paths('M14 4H6v16h8', 'M10.5 12H21', 'M17 8l4 4-4 4');
export const HashIcon = paths('M9 4 7 20', 'M17 4l-2 16', 'M4.5 9H20', 'M4 15h15.5');
