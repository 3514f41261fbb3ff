// One case.

function caseView(all, scope, chosen, values) {
  const found = chosen.cases.find((summary) => summary.one.id === values.id);
  if (!found) return missing('case', values.id ?? '');
  const { one } = found;
  const { run, code, ms } = all.columns;
  const ats = results(all, one, chosen.inScope);
  const point = (at) => ({
    run: all.runs[run[at]],
    ms: ms[at],
    tone: toneOf(code[at]),
    words: `${when(all.runs[run[at]].started)} ${subject(all.runs[run[at]])}: ${statusOf(code[at])}${ms[at] < 0 ? '' : `, ${duration(ms[at])}`}`,
  });
  const timed = ats.filter((at) => ms[at] >= 0).map(point);
  const drawn = timed.slice(-200); // more points nobody tells apart
  const newest = all.runs[run[found.now]];
  return [
    h(
      'p',
      { class: 'crumb' },
      h('a', { href: link('cases') }, 'Cases'),
      ' / ',
      h('a', { href: link('cases', { q: one.program.id }) }, one.program.id),
    ),
    h('h1', { class: 'id' }, one.name || one.program.id),
    h(
      'p',
      { class: 'lead' },
      lastOf(all, found),
      ' in its last run, ',
      h('a', { href: runLink(newest) }, time(newest.started)),
      found.flake.flaky && [' ', badge('flaky', 'warn')],
    ),
    h(
      'dl',
      { class: 'facts' },
      fact('Bad', found.judged ? rate(found.bad, found.judged) : 'it was always skipped'),
      found.flake.flaky &&
        fact('Flaky', [
          rate(found.flake.bad, found.flake.of),
          h('span', { class: 'note' }, 'of the runs on kernels on which it also passed'),
        ]),
      fact(
        'Changes',
        found.changes ? `${found.changes}, between good and bad` : 'none between good and bad',
      ),
      timed.length ? fact('Median time', duration(median(timed.map((each) => each.ms)))) : null,
    ),
    section(
      'record',
      'Record',
      `Its ${plural(ats.length, 'result')}, the newest last.`,
      fullRecord(ats.map(point)),
    ),
    timed.length > 1 &&
      section(
        'times',
        'Times',
        drawn.length < timed.length && 'The last 200.',
        h('figure', {}, timeline(drawn, `Times of ${one.id} in ${drawn.length} runs`)),
      ),
    section('lines', 'By series and kernel', null, byLine(all, ats)),
    found.change && section('last-change', 'Its last change', null, changeList(all, [found])),
    section(
      'repeat',
      'Look closer',
      null,
      copyable(`toolkit history ${quoted(one.id)}`),
      found.failing.length > 0 &&
        copyable(`toolkit reproduce ${quoted(newest.name)} ${quoted(one.id)}`),
    ),
    section('results', 'Results', null, resultTable(all, [...ats].reverse())),
  ];
}

function fullRecord(points) {
  return h(
    'div',
    {
      class: 'record',
      role: 'img',
      'aria-label': `${points.filter((each) => each.tone === 'bad').length} of ${points.length} bad`,
    },
    points.map((each) =>
      h('a', { href: runLink(each.run), class: each.tone, title: each.words, tabindex: -1 }),
    ),
  );
}

function byLine(all, ats) {
  const { run, code } = all.columns;
  const groups = new Map();
  for (const at of ats) {
    const { line } = all.runs[run[at]];
    if (!groups.has(line)) groups.set(line, []);
    groups.get(line).push(at);
  }
  const rows = [...groups].sort(([, a], [, b]) => run[b.at(-1)] - run[a.at(-1)]);
  const columns = [
    { head: 'Series' },
    { head: 'Kernel' },
    { head: 'Last' },
    { head: 'Last 40 results', label: 'Record', layout: 'strips' },
    { head: 'Bad' },
  ];
  return listing(
    columns,
    rows,
    ([line, mine]) => {
      const judged = mine.filter((at) => code[at] !== SKIPPED);
      const bad = judged.filter((at) => BAD.has(code[at])).length;
      return [
        subject(line),
        kernelName(line),
        statusBadge(code[mine.at(-1)]),
        strip(
          mine.map((at) => toneOf(code[at])),
          `${bad} of ${judged.length} bad`,
        ),
        judged.length ? rate(bad, judged.length) : 'never judged',
      ];
    },
    { size: 20 },
  );
}

function resultTable(all, ats) {
  const { run, code, ms } = all.columns;
  const columns = [
    { head: 'When' },
    { head: 'Result' },
    { head: 'Series' },
    { head: 'Kernel' },
    { head: 'Time', layout: 'num' },
  ];
  return listing(
    columns,
    ats,
    (at) => {
      const of = all.runs[run[at]];
      return [
        h('a', { href: runLink(of) }, time(of.started)),
        statusBadge(code[at]),
        subject(of),
        kernelName(of),
        duration(ms[at]),
      ];
    },
    { size: 20 },
  );
}
