"use strict";
// One slide at a time. Without this script, or on paper, all slides stand one after the other.
const slides = [...document.querySelectorAll(".slide")];
const back = document.getElementById("back"), on = document.getElementById("on");
const asks = document.body.dataset.ask === "yes";
const stops = slides.flatMap((slide, at) => asks ? [[at, true], [at, false]] : [[at, false]]);
const first = slide => stops.findIndex(([at]) => at === slide);
let stop = 0;

function show(next, moved) {
  stop = Math.min(Math.max(next, 0), stops.length - 1);
  const [now, asking] = stops[stop];
  slides.forEach((slide, at) => {
    slide.classList.toggle("now", at === now);
    slide.classList.toggle("asking", at === now && asking);
  });
  back.disabled = stop === 0;
  on.disabled = stop === stops.length - 1;
  document.getElementById("place").textContent = `${now + 1} of ${slides.length}`;
  if (moved) {
    history.replaceState(null, "", `#${now + 1}`);
    slides[now].querySelector("h2").focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

const keys = {
  ArrowRight: () => stop + 1, PageDown: () => stop + 1, Enter: () => stop + 1, " ": () => stop + 1,
  ArrowLeft: () => stop - 1, PageUp: () => stop - 1, Backspace: () => stop - 1,
  Home: () => 0, End: () => stops.length - 1,
};
addEventListener("keydown", event => {
  const isOnButton = event.target.tagName === "BUTTON" && (event.key === "Enter" || event.key === " ");
  if (!(event.key in keys) || isOnButton || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  show(keys[event.key](), true);
});
back.addEventListener("click", () => show(stop - 1, true));
on.addEventListener("click", () => show(stop + 1, true));
document.body.classList.add("shows");
const wanted = Number(location.hash.slice(1));
show(wanted >= 1 && wanted <= slides.length ? first(wanted - 1) : 0, false);
