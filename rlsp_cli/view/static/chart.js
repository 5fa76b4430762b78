// Curves over steps as SVG: one metric, a curve for each run, alarms as marks with a link.
"use strict";
(() => {
  const WIDTH = 340, HEIGHT = 150;
  const LEFT = 44, RIGHT = 8, TOP = 8, BOTTOM = 20;
  const MOST_POINTS = 300; // more would lie on the same pixel

  // series: [{name, colour, points: [[step, value], ...]}]; alarms: [{step, text, href}].
  rlsp.chart = (title, series, alarms) => {
    const read = rlsp.h("output", { class: "quiet" });
    const plot = drawn(title, series, alarms);
    follow(plot, series, read);
    return rlsp.h("figure", { class: "chart" }, rlsp.h("figcaption", {}, title, read), plot.element);
  };

  // The mean over the last `width` values of each point.
  rlsp.smoothed = (points, width) => {
    let sum = 0;
    return points.map(([step, value], place) => {
      sum += value - (place >= width ? points[place - width][1] : 0);
      return [step, sum / Math.min(place + 1, width)];
    });
  };

  function drawn(title, series, alarms) {
    const all = series.flatMap((one) => one.points);
    const x = scale(all.map(([step]) => step), LEFT, WIDTH - RIGHT);
    const y = scale(all.map(([, value]) => value), HEIGHT - BOTTOM, TOP);

    const element = rlsp.svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": described(title, series),
    }, grid(y), axis(x), series.map((one) => curve(one, x, y)), alarms.map((one) => mark(one, x)));
    const line = rlsp.svg("line", { class: "at", y1: TOP, y2: HEIGHT - BOTTOM });
    element.append(line);
    return { element, line, x };
  }

  function scale(values, from, to) {
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
    const place = (value) => from + ((value - low) / (high - low)) * (to - from);
    const back = (where) => low + ((where - from) / (to - from)) * (high - low);
    return { low, high, place, back };
  }

  // Round numbers within a scale, at most some four.
  function ticks({ low, high }) {
    const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    const found = [];
    for (let n = Math.ceil(low / step); n * step <= high; n++) found.push(Number((n * step).toPrecision(12)));
    return found;
  }

  const grid = (y) => ticks(y).map((value) => [
    rlsp.svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y.place(value), y2: y.place(value) }),
    rlsp.svg("text", { x: LEFT - 6, y: y.place(value) + 3, "text-anchor": "end" }, rlsp.number(value)),
  ]);

  const axis = (x) => ticks(x).filter(Number.isInteger).map((step) =>
    rlsp.svg("text", { x: x.place(step), y: HEIGHT - 5, "text-anchor": "middle" }, rlsp.number(step)));

  function curve({ points, colour }, x, y) {
    if (points.length === 1) {
      const [[step, value]] = points;
      return rlsp.svg("circle", { cx: x.place(step), cy: y.place(value), r: 3, class: `dot run-${colour}` });
    }
    const path = thinned(points).map(([step, value]) => `${x.place(step).toFixed(1)},${y.place(value).toFixed(1)}`);
    return rlsp.svg("polyline", { points: path.join(" "), class: `curve run-${colour}` });
  }

  // The lowest and the highest of points that share a pixel, so that no jump is lost.
  function thinned(points) {
    if (points.length <= MOST_POINTS) return points;
    const size = Math.ceil((2 * points.length) / MOST_POINTS), kept = [];
    for (let start = 0; start < points.length; start += size) {
      const part = points.slice(start, start + size).sort((a, b) => a[1] - b[1]);
      kept.push(...[part[0], part[part.length - 1]].sort((a, b) => a[0] - b[0]));
    }
    return kept;
  }

  const mark = ({ step, text, href }, x) => rlsp.svg("a", { href, class: "alarm", "aria-label": text },
    rlsp.svg("title", {}, text),
    rlsp.svg("line", { x1: x.place(step), x2: x.place(step), y1: TOP, y2: HEIGHT - BOTTOM }),
    rlsp.svg("path", { d: `M${x.place(step)} ${TOP + 10} l-6 -10 h12 z` }));

  const described = (title, series) => `${title}: ` + series.map(({ name, points }) =>
    `${name} from ${rlsp.number(points[0][1])} to ${rlsp.number(points[points.length - 1][1])}`).join("; ");

  // Say the values at the step under the pointer, else the last ones.
  function follow({ element, line, x }, series, read) {
    const say = (step) => {
      const last = Math.max(...series.map(({ points }) => points[points.length - 1][0]));
      const values = series.map(({ points, colour }) => {
        const near = nearest(points, step ?? last);
        return rlsp.h("span", { class: `value run-${colour}` }, rlsp.number(near[1]));
      });
      read.replaceChildren(step == null ? "" : `step ${step} `, ...values);
    };
    element.addEventListener("pointermove", (event) => {
      const box = element.getBoundingClientRect();
      const step = Math.round(x.back(((event.clientX - box.left) / box.width) * WIDTH));
      const within = Math.min(Math.max(step, Math.ceil(x.low)), Math.floor(x.high));
      line.setAttribute("x1", x.place(within));
      line.setAttribute("x2", x.place(within));
      element.classList.add("pointed");
      say(within);
    });
    element.addEventListener("pointerleave", () => {
      element.classList.remove("pointed");
      say(null);
    });
    say(null);
  }

  function nearest(points, step) {
    let low = 0, high = points.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < step) low = middle + 1;
      else high = middle;
    }
    return low && step - points[low - 1][0] < points[low][0] - step ? points[low - 1] : points[low];
  }
})();
