import { kept } from '../client/session';

export type Theme = 'auto' | 'light' | 'dark';

const KEY = 'nexus.theme';

export function theme(): Theme {
  const stored = kept('localStorage')?.getItem(KEY);
  return stored === 'light' || stored === 'dark' ? stored : 'auto';
}

export function applyTheme(): void {
  const chosen = theme();
  if (chosen === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}

/** Switches between light and dark, from whichever is shown now. */
export function toggleTheme(): void {
  const chosen = document.documentElement.dataset.theme ?? 'auto';
  const dark = chosen === 'auto' ? matchMedia('(prefers-color-scheme: dark)').matches : chosen === 'dark';
  document.documentElement.dataset.theme = dark ? 'light' : 'dark';
  kept('localStorage')?.setItem(KEY, dark ? 'light' : 'dark');
}
