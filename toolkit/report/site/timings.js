// How long stages and programs took.

function timingsView(all, scope, chosen) {
  const stages = stageTimes(chosen.runs).slice(0, 24);
  const programs = programTimes(all, chosen.inScope);
  return [
    h('h1', {}, 'Timings'),
    section(
      'stages',
      'Stages',
      'Each over its last 100 runs. Grey points were found in the cache; the line joins those that were done.',
      h('div', { class: 'plots' }, stages.map(stagePlot)),
    ),
    section(
      'programs',
      'Slowest programs',
      'The sum over their cases, run by run.',
      programs.length ? programTable(programs) : h('p', {}, 'No program has a time.'),
    ),
  ];
}

function stagePlot({ name, points, done, found }) {
  const medians = [
    done !== null && `done: ${duration(done)}`,
    found !== null && `found: ${duration(found)}`,
  ];
  const plotted = points.slice(-100).map((point) => ({
    ...point,
    tone: point.cached ? 'found' : 'done',
    words: `${when(point.run.started)} ${subject(point.run)}: ${duration(point.ms)}${point.cached ? ', found in the cache' : ''}`,
  }));
  return h(
    'figure',
    {},
    h(
      'figcaption',
      {},
      h('b', {}, name),
      h('span', { class: 'quiet' }, `${medians.filter(Boolean).join(' · ')} (median)`),
    ),
    timeline(plotted, `Times of the stage ${name}`, 520),
  );
}

function programTable(programs) {
  const columns = [
    { head: 'Program' },
    { head: 'Median', layout: 'num' },
    { head: 'Last', layout: 'num' },
    { head: 'Longest', layout: 'num' },
    { head: 'Trend' },
    { head: 'Runs', layout: 'num' },
  ];
  return listing(
    columns,
    programs,
    (one) => [
      h('a', { href: link('cases', { q: one.program.id }), class: 'id' }, one.program.id),
      duration(one.median),
      duration(one.last),
      duration(one.longest),
      sparkline(one.points.map((point) => point.ms)),
      one.points.length,
    ],
    { size: 40 },
  );
}
