"use strict";
// before the first paint, and so neither a module nor deferred: the theme and the language that were chosen last time
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
  if (!document.querySelector('meta[name="languages"]')) return; // a page of one language
  const russian = (navigator.languages ?? [navigator.language]).find((tag) => /^(en|ru)\b/i.test(tag));
  root.lang = kept("language") ?? (/^ru/i.test(russian ?? "") ? "ru" : "en");
  root.dataset.texts = root.lang === "en" ? "ready" : "waiting";
})();
