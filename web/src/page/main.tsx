// The page. `App` decides who is here, `Chat` what they see; everything they do goes through `../client`.

import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import '../style/index.css';
import { App } from './App';
import { applyTheme } from './theme';

applyTheme();
const root = document.getElementById('root');
if (root)
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
