// Makes pages pleasanter; every page works without it.
//
// 1. Parts marked data-live are fetched again while the page is looked at, and replaced in place.
// 2. Values marked data-copy can be copied with one click.
// 3. The browser's time zone is used until somebody chooses one.
"use strict";

(() => {
  const EVERY_MS = 5000;
  const SLOWEST_MS = 60000;

  // 1. Live parts. The same page is asked for, so there is no second way to render anything.
  const live = () => [...document.querySelectorAll("[data-live][id]")];
  const busy = (part) => part.contains(document.activeElement) && document.activeElement !== document.body;

  let wait = EVERY_MS;
  const refresh = async () => {
    if (document.hidden || getSelection()?.toString()) return;
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of live()) {
      const next = fresh.getElementById(part.id);
      if (next && !busy(part) && next.innerHTML !== part.innerHTML) {
        part.className = next.className;
        part.replaceChildren(...next.childNodes);
        copyable(part);
      }
    }
  };
  const loop = async () => {
    try {
      await refresh();
      wait = EVERY_MS;
    } catch {
      wait = Math.min(wait * 2, SLOWEST_MS);
    }
    setTimeout(loop, wait);
  };

  // 2. Copy.
  const copyable = (root) => {
    if (!navigator.clipboard) return;
    for (const value of root.querySelectorAll("[data-copy]")) {
      if (value.nextElementSibling?.classList.contains("copy")) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.setAttribute("aria-label", `Copy ${value.textContent.length < 40 ? value.textContent : "it"}`);
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(value.textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
      if (value.tagName === "DD") value.append(" ", button); else value.after(" ", button);
    }
  };

  // 3. Time zone: only where nobody has chosen yet.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.includes("tidings_zone=")) {
    document.cookie = `tidings_zone=${zone}; Path=/admin; SameSite=Lax; Max-Age=31536000`;
  }

  copyable(document);
  document.querySelector(".faults")?.focus();
  if (live().length > 0) setTimeout(loop, EVERY_MS);
})();
