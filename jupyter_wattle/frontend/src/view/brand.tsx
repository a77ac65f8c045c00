/* The sprig of golden wattle. */

export function Sprig() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <path d="M16 31c0-9 1-16 6-24" fill="none" stroke="#4b7f52" stroke-width="2" stroke-linecap="round" />
      <path d="M17 22c-6 1-10-2-12-6 5-1 10 1 12 6zM18 16c5 1 9-1 11-5-4-1-9 1-11 5z" fill="#5b9a63" />
      <g fill="#f2b705">
        <circle cx="22" cy="6" r="4.4" />
        <circle cx="12" cy="8" r="4" />
        <circle cx="6.5" cy="23" r="3.5" />
        <circle cx="26" cy="17.5" r="3.6" />
      </g>
      <g fill="#ffd84d">
        <circle cx="21" cy="5" r="1.4" />
        <circle cx="11" cy="7" r="1.3" />
        <circle cx="5.6" cy="22" r="1.1" />
        <circle cx="25" cy="16.5" r="1.2" />
      </g>
    </svg>
  );
}
