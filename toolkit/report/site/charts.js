// Small pictures of records and times. What is bad differs in its shape too, not in its colour alone.

const TICK = { good: [5, 9], warn: [5, 9], still: [11, 3], bad: [0, 14] }; // top and height

// A tick for each of the last results, the newest last.
function strip(tones, label, most = 40) {
  const last = tones.slice(-most);
  const width = Math.max(1, last.length * 4 - 1);
  const paths = {};
  last.forEach((tone, place) => {
    const x = place * 4;
    const [top, height] = TICK[tone];
    paths[tone] = `${paths[tone] ?? ''}M${x} ${top}h3v${height}h-3z`;
  });
  return s(
    'svg',
    {
      class: 'strip',
      viewBox: `0 0 ${width} 14`,
      width,
      height: 14,
      role: 'img',
      'aria-label': label,
    },
    Object.entries(paths).map(([tone, d]) => s('path', { class: tone, d })),
  );
}

function caseStrip(all, summary, inScope, most = 40) {
  const tones = results(all, summary.one, inScope)
    .slice(-most)
    .map((at) => toneOf(all.columns.code[at]));
  const bad = tones.filter((tone) => tone === 'bad').length;
  return strip(tones, `${bad} of the last ${tones.length} bad`, most);
}

// A share with its interval: a band from end to end, a mark where the share is.
function interval(seen, of) {
  const [low, high] = wilson(seen, of);
  const x = (share) => 2 + 96 * share;
  return s(
    'svg',
    { class: 'interval', viewBox: '0 0 100 12', width: 100, height: 12, 'aria-hidden': 'true' },
    s('rect', { class: 'track', x: 2, y: 5, width: 96, height: 2 }),
    s('rect', {
      class: 'band',
      x: x(low),
      y: 3,
      width: Math.max(2, x(high) - x(low)),
      height: 6,
      rx: 2,
    }),
    s('rect', { class: 'mark', x: x(seen / of) - 1.5, y: 0, width: 3, height: 12, rx: 1 }),
  );
}

function rate(seen, of) {
  const [low, high] = wilson(seen, of);
  return h(
    'span',
    { class: 'rate' },
    h('b', {}, percent(seen / of)),
    interval(seen, of),
    h('span', { class: 'quiet' }, `${seen} of ${of}, 95 %: ${percent(low)} to ${percent(high)}`),
  );
}

function bar(value, longest, tone = 'done') {
  const width = longest ? Math.max(2, (1000 * value) / longest) : 0;
  return s(
    'svg',
    { class: 'bar', viewBox: '0 0 1000 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    s('rect', { class: 'track', width: 1000, height: 10 }),
    s('rect', { class: tone, width, height: 10 }),
  );
}

function sparkline(values) {
  const last = values.slice(-40);
  const top = Math.max(...last) || 1;
  const points = last.map(
    (value, place) =>
      `${(2 + (116 * place) / Math.max(1, last.length - 1)).toFixed(1)},${(16 - (14 * value) / top).toFixed(1)}`,
  );
  return s(
    'svg',
    { class: 'spark', viewBox: '0 0 120 18', width: 120, height: 18, 'aria-hidden': 'true' },
    s('polyline', {
      points: points.length > 1 ? points.join(' ') : `${points[0]} 118,${points[0].split(',')[1]}`,
    }),
  );
}

// A column for each of the last runs: what was bad, skipped and good in it, of the most cases.
function resultColumns(all, runs) {
  const [width, height, gap] = [960, 120, 2];
  const top = Math.max(...runs.map((run) => all.ofRuns[run.number].length), 1);
  const step = width / Math.max(runs.length, 30);
  const scale = (count) => (count ? Math.max(3, (height * count) / top) : 0);
  return s(
    'svg',
    {
      class: 'columns',
      viewBox: `0 0 ${width} ${height}`,
      preserveAspectRatio: 'none',
      role: 'img',
      'aria-label': `Results of the last ${runs.length} runs`,
    },
    runs.map((run, place) => {
      const counts = { bad: 0, warn: 0, still: 0, good: 0 };
      for (const [, at] of all.ofRuns[run.number]) counts[toneOf(all.columns.code[at])] += 1;
      let y = height;
      const parts = ['bad', 'warn', 'still', 'good']
        .filter((tone) => counts[tone])
        .map((tone) => {
          const tall = Math.min(scale(counts[tone]), y);
          y -= tall;
          return s('rect', { class: tone, x: place * step, y, width: step - gap, height: tall });
        });
      if (!parts.length)
        parts.push(
          s('rect', {
            class: verdictTone(run),
            x: place * step,
            y: height - 4,
            width: step - gap,
            height: 4,
          }),
        );
      const words = `${when(run.started)} ${subject(run)}: ${run.verdict}, ${counts.bad} of ${all.ofRuns[run.number].length} bad`;
      return s(
        'a',
        { href: runLink(run), tabindex: -1 },
        s('title', {}, words),
        s('rect', { class: 'hit', x: place * step, y: 0, width: step, height }),
        parts,
      );
    }),
  );
}

// The next time in ms whose half is a plain figure too, for an axis that can be read.
function roundUp(ms) {
  for (let unit = 1; unit <= 10000; unit *= 10) {
    for (const factor of [1, 2, 4]) if (ms <= factor * unit) return factor * unit;
  }
  for (const minutes of [1, 2, 4, 10, 20, 40, 60, 120, 240])
    if (ms <= minutes * 60000) return minutes * 60000;
  return Math.ceil(ms / 36000000) * 36000000;
}
function axisLabel(ms) {
  if (ms < 1000) return `${ms} ms`;
  if (ms < 60000) return `${ms / 1000} s`;
  return ms < 3600000 ? `${ms / 60000} min` : `${ms / 3600000} h`;
}

// Times over runs. A point: its run, its ms, its tone, what to say of it.
function timeline(points, label, wide = 720) {
  const width = Math.min(wide, Math.max(320, innerWidth - 32)); // its texts stay as large as others
  const [height, left, bottom, top] = [180, 56, 26, 10];
  const most = roundUp(Math.max(...points.map((point) => point.ms), 1));
  const x = (place) => left + 8 + ((width - left - 16) * (place + 0.5)) / points.length;
  const y = (ms) => height - bottom - ((height - bottom - top) * ms) / most;
  const grid = [0, 0.5, 1].map((part) => [
    s('line', { class: 'grid', x1: left, x2: width, y1: y(part * most), y2: y(part * most) }),
    s(
      'text',
      { x: left - 8, y: y(part * most) + 4, 'text-anchor': 'end' },
      part ? axisLabel(part * most) : '0',
    ),
  ]);
  const dots = points.map((point, place) => {
    const [cx, cy] = [x(place), y(point.ms)];
    const shape =
      point.tone === 'bad'
        ? s('path', { class: 'bad', d: `M${cx} ${cy - 6}l6 6l-6 6l-6 -6z` })
        : s('circle', { class: point.tone, cx, cy, r: points.length > 150 ? 2 : 3.5 });
    return s('a', { href: runLink(point.run), tabindex: -1 }, s('title', {}, point.words), shape);
  });
  const line = points.filter((point) => point.tone !== 'found');
  const path = points
    .map((point, place) => [point, place])
    .filter(([point]) => line.includes(point));
  return s(
    'svg',
    { class: 'timeline', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label },
    grid,
    s('polyline', {
      class: 'line',
      points: path.map(([point, place]) => `${x(place)},${y(point.ms)}`).join(' '),
    }),
    dots,
    s('text', { x: left, y: height - 6 }, when(points[0].run.started)),
    points.length > 1 &&
      s('text', { x: width, y: height - 6, 'text-anchor': 'end' }, when(points.at(-1).run.started)),
  );
}
