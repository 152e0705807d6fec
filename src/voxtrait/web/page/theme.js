"use strict";
// sets the stored theme and language; not a module and not deferred, so that it runs before the first paint
(() => {
  const kept = (name) => {
    try {
      return localStorage.getItem(`voxtrait.${name}`);
    } catch {
      return null; // storage may be forbidden
    }
  };
  const root = document.documentElement;
  const theme = kept("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  if (!document.querySelector('meta[name="languages"]')) return; // the page has one language
  const russian = (navigator.languages ?? [navigator.language]).find((tag) => /^(en|ru)\b/i.test(tag));
  root.lang = kept("language") ?? (/^ru/i.test(russian ?? "") ? "ru" : "en");
  root.dataset.texts = root.lang === "en" ? "ready" : "waiting";
})();
