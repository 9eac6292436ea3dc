import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

// Every asset is a file of its own with a hashed name: the page's content security policy allows neither inline
// code nor data: addresses.
export default defineConfig({
  plugins: [react()],
  build: {
    assetsInlineLimit: 0,
    target: ['chrome123', 'edge123', 'firefox125', 'safari17.5'],
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      '/nexus.v1.': {
        target: process.env.NEXUS_URL ?? 'https://localhost:8443',
        changeOrigin: true,
        secure: false,
      },
    },
  },
  test: { include: ['src/**/*.test.ts'], restoreMocks: true },
});
