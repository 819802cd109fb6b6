"use strict";
// Shows a figure's numbers beside the pointer, from the CSV in the page, and offers the CSV as a file.
{
  const parse = (text) => {
    const rows = [[""]];
    let quoted = false;
    for (let i = 0; i < text.length; i++) {
      const c = text[i], row = rows[rows.length - 1];
      if (quoted && c === '"' && text[i + 1] === '"') { row[row.length - 1] += c; i++; }
      else if (c === '"') quoted = !quoted;
      else if (c === "," && !quoted) row.push("");
      else if (c === "\n" && !quoted) rows.push([""]);
      else row[row.length - 1] += c;
    }
    rows.pop();
    return { heads: rows.shift(), rows };
  };
  const number = (text) => text === "" ? NaN : Number(text.replace("inf", "Infinity"));

  // The points of a line figure: where they lie, and what is said of them.
  const points = (figure, svg) => {
    const [left, right, top, bottom, xLow, xHigh, , yLow, yHigh, yLog, ceiling] =
      svg.dataset.place.split(" ").map(Number);
    const { heads, rows } = parse(figure.querySelector(".data pre").textContent);
    const keys = figure.dataset.keys.split(" ");
    const found = [];
    keys.forEach((key, i) => {
      if (key === "-") return;
      for (const row of rows) {
        const [xText, yText] = [row[0], row[i + 1]];
        let y = number(yText);
        if (y > ceiling) y = ceiling;
        if (yLog) y = Math.log10(y);
        if (yText === "" || !Number.isFinite(y)) continue;
        const px = left + (number(xText) - xLow) / (xHigh - xLow) * (right - left);
        const py = bottom - (y - yLow) / (yHigh - yLow) * (bottom - top);
        found.push({ key, line: i, px, py, text: [heads[i + 1], `${heads[0]} ${xText}: ${yText}`] });
      }
    });
    return found;
  };

  // The candidates of a heat map; of those at one place the last counts.
  const candidates = (figure, svg) => {
    const [left, top, column, row, topLog2, spacing] = svg.dataset.heat.split(" ").map(Number);
    const { heads, rows } = parse(figure.querySelector(".data pre").textContent);
    const n = heads.filter((head) => head.startsWith("factor ")).length;
    const found = [];
    for (const cells of rows) {
      for (let i = 0; i < n; i++) {
        const factor = number(cells[5 + i]);
        if (!(factor > 0)) continue;
        const px = left + (Number(cells[0]) + 0.5) * column;
        const py = top + ((topLog2 - Math.log2(factor)) / spacing + 0.5) * row;
        const chosen = cells[3] === "" ? cells[4] : `next rate ${cells[3]} (${cells[4]})`;
        found.unshift({ key: null, line: i, px, py,
          text: [`after epoch ${cells[0]}, factor ${cells[5 + i]} on ${cells[2]}: loss ${cells[5 + n + i]}`, chosen] });
      }
    }
    return found;
  };

  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);

  const prepare = (svg) => {
    const figure = svg.closest("figure");
    let all = null, at = null, dot = null;
    const visible = () => {
      all ??= svg.dataset.heat ? candidates(figure, svg) : points(figure, svg);
      return all.filter((point) => point.key === null || figure.querySelector(`.k${point.key}`).checked);
    };
    const hide = () => { at = null; tip.hidden = true; if (dot) dot.remove(); };
    const show = (point) => {
      at = point;
      if (!dot) {
        dot = document.createElementNS(svg.namespaceURI, "circle");
        dot.setAttribute("class", "at");
        dot.setAttribute("r", 6);
      }
      dot.setAttribute("cx", point.px);
      dot.setAttribute("cy", point.py);
      svg.append(dot);
      tip.replaceChildren(...point.text.map((text) => {
        const line = document.createElement("div");
        line.textContent = text;
        return line;
      }));
      tip.hidden = false;
      const box = dot.getBoundingClientRect();
      const width = document.documentElement.clientWidth;
      const x = Math.max(4, Math.min(box.right + 8, width - tip.offsetWidth - 4));
      const above = box.top - tip.offsetHeight - 8;
      tip.style.left = `${x + scrollX}px`;
      tip.style.top = `${(above < 4 ? box.bottom + 8 : above) + scrollY}px`;
    };
    const nearest = (x, y) => {
      let best = null, distance = svg.dataset.heat ? 30 : Infinity;
      for (const point of visible()) {
        const d = Math.hypot(point.px - x, point.py - y);
        if (d < distance) [best, distance] = [point, d];
      }
      return best;
    };
    const move = (event) => {
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      const point = nearest(place.x, place.y);
      if (point) show(point); else hide();
    };
    svg.addEventListener("pointermove", move);
    svg.addEventListener("pointerdown", move);
    svg.addEventListener("pointerleave", hide);
    figure.addEventListener("change", hide);
    svg.setAttribute("tabindex", 0);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
      if (event.key === "Escape") hide();
      if (!dx && !dy) return;
      event.preventDefault();
      const points = visible();
      if (!at || !points.includes(at)) { if (points.length) show(points[0]); return; }
      // The next one in that direction: on the same line or row where it goes sideways.
      const ahead = points.filter((point) => dx
        ? point.line === at.line && (point.px - at.px) * dx > 0.01
        : Math.abs(point.px - at.px) < 1 && (point.py - at.py) * dy > 0.01);
      const far = (point) => Math.abs(dx ? point.px - at.px : point.py - at.py);
      if (ahead.length) show(ahead.reduce((a, b) => far(b) < far(a) ? b : a));
    });
  };
  document.querySelectorAll("svg[data-place], svg[data-heat]").forEach(prepare);

  document.querySelectorAll("details.data").forEach((details) => {
    details.addEventListener("toggle", () => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Save as a file";
      button.addEventListener("click", () => {
        const link = document.createElement("a");
        const text = details.querySelector("pre").textContent;
        link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
        link.download = `${details.closest("figure").id}.csv`;
        link.click();
        URL.revokeObjectURL(link.href);
      });
      details.querySelector("summary").after(button);
    }, { once: true });
  });
}
