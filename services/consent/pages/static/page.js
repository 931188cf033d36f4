"use strict";
// Three things that a page without script cannot do: empty the view at once, leave by the keyboard, and end when left alone.
(() => {
  const leave = document.getElementById("leave");
  if (!leave) return;

  // Only the form stays, unseen, to tell the server. What was read is gone from the screen, and from a screen reader.
  const empty = () => {
    const body = document.createElement("body");
    leave.hidden = true;
    body.append(leave);
    document.body.replaceWith(body);
    document.title = "…";
  };
  leave.addEventListener("submit", empty);
  const go = () => leave.requestSubmit();

  const WITHIN = 5000;
  let taps = [];
  addEventListener("keydown", (event) => {
    if (event.key !== "Shift") taps = [];
  });
  addEventListener("keyup", (event) => {
    if (event.key !== "Shift") return;
    const now = Date.now();
    taps = [...taps.filter((tap) => now - tap < WITHIN), now];
    if (taps.length === 3) go();
  });

  // The session ends after ten minutes. While she types it goes on; when nobody is there, the page goes with it.
  const IDLE = 600000, STILL = 60000;
  let timer = 0, told = Date.now();
  const here = () => {
    clearTimeout(timer);
    timer = setTimeout(go, IDLE);
    if (Date.now() - told > STILL) {
      told = Date.now();
      fetch("/my/still", { cache: "no-store" }).catch(() => {});
    }
  };
  if (document.body.dataset.here) {
    for (const kind of ["keydown", "pointerdown", "scroll"]) addEventListener(kind, here, { passive: true });
    here();
  }

  // A page that the browser kept whole must not come back by the Back button.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  // The square on a slip leads here with the code behind the `#`. It is put in its place, and taken out of the address.
  const code = document.getElementById("code");
  if (code && location.hash.length > 1 && location.pathname.endsWith("/start")) {
    code.value = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, "", location.pathname + location.search);
  }

  for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => print());
  }
})();
