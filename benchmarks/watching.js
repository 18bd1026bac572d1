// Runs in the page before the app (bench_webapp.py): notes what is drawn and what takes long, and times what is done.
const noted = { draws: [], tasks: [] };

function watch(type, note) {
  new PerformanceObserver((list) => list.getEntries().forEach(note)).observe({ type, buffered: true });
}
watch("measure", (one) => one.name.startsWith("draw ") && noted.draws.push(one));
watch("longtask", (one) => noted.tasks.push(one.duration));

/** Until what was changed has become a frame. */
const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

globalThis.watching = {
  /** When the frame was done that first had such an element, in ms from the beginning of the navigation. */
  async until(css) {
    await new Promise((done) => {
      const look = () => document.querySelector(css) && (watched.disconnect(), done());
      const watched = new MutationObserver(look);
      watched.observe(document, { childList: true, subtree: true });
      look();
    });
    await frame();
    return performance.now();
  },
  firstPaint: () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0,
  /** The script's part of the first drawing of each channel, together. */
  async firstDraws() {
    await frame();
    const first = new Map(noted.draws.map((one) => [one.name, one.duration]).reverse());
    return [...first.values()].reduce((sum, ms) => sum + ms, 0);
  },
  /** The script's part of what one key draws, and how long until its frame is done. */
  async key(key) {
    const charts = document.querySelector(".charts-plots");
    await frame();
    noted.draws = [];
    const began = performance.now();
    charts.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    await frame();
    const took = performance.now() - began;
    await frame();
    return [noted.draws.reduce((sum, one) => sum + one.duration, 0), took];
  },
  /** How long each of so many moves of the cursor keeps the script, or of the drag of a range. */
  async moves(count, isDrag) {
    const over = document.querySelector(".u-over");
    const { left, top, width, height } = over.getBoundingClientRect();
    const say = (type, x) =>
      over.dispatchEvent(new MouseEvent(type, { clientX: left + x, clientY: top + height / 2, movementX: 1, bubbles: true }));
    const took = [];
    say("mousemove", 1);
    if (isDrag) say("mousedown", 1);
    for (let i = 1; i <= count; i++) {
      const began = performance.now();
      say("mousemove", (width * i) / (count + 2));
      took.push(performance.now() - began);
      await frame();
    }
    if (isDrag) say("mouseup", width / 2);
    await frame();
    return took;
  },
  async scroll(count) {
    const table = document.querySelector(".list-box");
    for (let i = 0; i < count; i++) {
      table.scrollTop += 400;
      await frame();
    }
  },
  /** The longest task since this was asked last, in ms; 0: none of 50 ms or more. */
  async longestTask() {
    await frame();
    await new Promise((done) => setTimeout(done, 200));
    return Math.max(0, ...noted.tasks.splice(0));
  },
};
