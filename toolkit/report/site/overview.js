// The first view: how things stand, what changed last, what is flaky, what is slow.

function link(view, values = {}) {
  const kept = { ...currentScope(), ...values };
  const query = new URLSearchParams(
    Object.entries(kept).filter(([, value]) => value !== null && value !== ''),
  );
  return `#/${view}${query.size ? `?${query}` : ''}`;
}
const caseLink = (one) => link('case', { id: one.id });
const runLink = (run) => link('run', { at: String(run.started), name: run.name });

function overview(all, scope, chosen) {
  const flaky = chosen.cases.filter((summary) => summary.flake.flaky).sort(byFlakeRate);
  return [
    h('h1', {}, 'Overview'),
    standing(all, chosen, flaky.length),
    section('runs', 'Results of the last runs', null, lastResults(all, chosen.runs.slice(-60))),
    section(
      'lines',
      'Series and kernels',
      'The last run of each that judged the kernel, and the verdicts of up to 30 runs.',
      lines(all, chosen),
    ),
    section(
      'changes',
      'What changed last',
      'Cases that went from good to bad or back, from one run of a series on a kernel to the next.',
      latestChanges(all, chosen),
    ),
    h(
      'div',
      { class: 'pair' },
      section(
        'flaky',
        'Flaky',
        'One build of the kernel saw them both pass and fail.',
        flakiest(flaky),
      ),
      section('slow', 'Slowest programs', 'The median of their times.', slowest(all, chosen)),
    ),
  ];
}

const KEY = [
  ['bad', 'failed'],
  ['warn', 'failed as expected'],
  ['still', 'skipped'],
  ['good', 'passed'],
];

function lastResults(all, runs) {
  const key = KEY.map(([tone, word]) => h('span', {}, h('i', { class: `swatch ${tone}` }), word));
  return h(
    'figure',
    {},
    h('figcaption', {}, h('span', { class: 'key' }, key)),
    h('div', { class: 'scroll' }, resultColumns(all, runs)),
    h(
      'p',
      { class: 'ends' },
      h('span', {}, when(runs[0].started)),
      h('span', {}, when(runs.at(-1).started)),
    ),
  );
}

function latestChanges(all, chosen) {
  const changes = lastChanges(all, chosen);
  if (!changes.length) return h('p', {}, 'Nothing has changed in these runs.');
  const rest = h(
    'a',
    { href: link('cases', { show: 'changed', sort: 'changed' }) },
    `All ${plural(changes.length, 'case')} that changed`,
  );
  return [changeList(all, changes.slice(0, 12)), changes.length > 12 && h('p', {}, rest)];
}

function flakiest(flaky) {
  if (!flaky.length) return h('p', {}, 'No case is, as far as these runs show.');
  const rows = flaky
    .slice(0, 8)
    .map(({ one, flake }) =>
      h(
        'li',
        {},
        h('a', { href: caseLink(one), class: 'id' }, caseName(one)),
        rate(flake.bad, flake.of),
      ),
    );
  const rest = h('a', { href: link('cases', { show: 'flaky' }) }, `All ${flaky.length}`);
  return [h('ul', { class: 'rows' }, rows), flaky.length > 8 && h('p', {}, rest)];
}

function slowest(all, chosen) {
  const slow = programTimes(all, chosen.inScope).slice(0, 8);
  if (!slow.length) return h('p', {}, 'No program has a time.');
  return h(
    'ul',
    { class: 'rows' },
    slow.map((one) =>
      h(
        'li',
        {},
        h('a', { href: link('cases', { q: one.program.id }), class: 'id' }, one.program.id),
        h(
          'span',
          { class: 'rate' },
          h('b', {}, duration(one.median)),
          bar(one.median, slow[0].median),
        ),
      ),
    ),
  );
}

// The figures at the head: what the newest runs say.
function standing(all, chosen, flaky) {
  const judged = latestByLine(all, chosen).filter(({ judgedRun }) => judgedRun);
  const failing = chosen.cases.filter((summary) => summary.failing.length).length;
  const good = judged.filter(({ judgedRun }) => verdictTone(judgedRun) === 'good').length;
  const facts = [
    [
      `${good} of ${judged.length}`,
      'series on a kernel pass in their last run',
      good === judged.length ? 'good' : 'bad',
      link('runs'),
    ],
    [
      failing.toLocaleString('en'),
      failing === 1 ? 'case fails where it last ran' : 'cases fail where they last ran',
      failing ? 'bad' : 'good',
      link('cases', { show: 'failing' }),
    ],
    [
      flaky.toLocaleString('en'),
      flaky === 1 ? 'case is flaky' : 'cases are flaky',
      flaky ? 'warn' : 'good',
      link('cases', { show: 'flaky' }),
    ],
    [
      plural(chosen.runs.length, 'run'),
      `${when(chosen.runs[0].started)} to ${when(chosen.runs.at(-1).started)}`,
      'plain',
      link('runs'),
    ],
  ];
  return h(
    'ul',
    { class: 'figures' },
    facts.map(([figure, words, tone, href]) =>
      h('li', { class: tone }, h('a', { href }, h('b', {}, figure), h('span', {}, words))),
    ),
  );
}

const badIn = (all, run) =>
  all.ofRuns[run.number].filter(([, at]) => BAD.has(all.columns.code[at])).length;
const byFlakeRate = (a, b) =>
  wilson(b.flake.bad, b.flake.of)[0] - wilson(a.flake.bad, a.flake.of)[0];

// Runs that the host or the caller ended say nothing of a kernel.
const judgesKernel = (run) =>
  !['infrastructure', 'interrupted', 'user-error'].includes(run.verdict);

function latestByLine(all, chosen) {
  return all.lines
    .map((line) => {
      const runs = line.runs.filter((run) => chosen.inScope[run.number]);
      return { line, runs, run: runs.at(-1), judgedRun: runs.findLast(judgesKernel) };
    })
    .filter(({ run }) => run)
    .sort((a, b) => b.run.number - a.run.number);
}

function lines(all, chosen) {
  const latest = latestByLine(all, chosen);
  const judged = latest.filter(({ judgedRun }) => judgedRun);
  const columns = [
    { head: 'Series' },
    { head: 'Kernel' },
    { head: 'Last verdict', label: 'Last' },
    { head: 'Bad cases', label: 'Bad', layout: 'num' },
    { head: 'Last runs', label: 'Verdicts', layout: 'strips' },
    { head: 'When' },
  ];
  return listing(
    columns,
    judged.length ? judged : latest,
    ({ line, runs, run, judgedRun }) => {
      const shown = judgedRun ?? run;
      const tones = runs.map(verdictTone);
      const bad = tones.filter((tone) => tone === 'bad').length;
      return [
        h(
          'a',
          { href: link('runs', { series: line.series || '(unpatched)', kernel: line.kernel }) },
          subject(line),
        ),
        kernelName(line, shown.release),
        verdictBadge(shown),
        `${badIn(all, shown)} of ${all.ofRuns[shown.number].length}`,
        strip(tones, `${bad} of ${runs.length} runs bad`, 30),
        h('a', { href: runLink(shown) }, time(shown.started)),
      ];
    },
    { size: 20 },
  );
}

function lastChanges(all, chosen) {
  const { run } = all.columns;
  return chosen.cases
    .filter((summary) => summary.change)
    .sort((a, b) => run[b.change.to] - run[a.change.to] || a.one.number - b.one.number);
}

function changeList(all, changes) {
  return h(
    'ul',
    { class: 'rows changes' },
    changes.map(({ one, change }) => changeRow(all, one, change)),
  );
}

function changeRow(all, one, { from, to }) {
  const { run, code } = all.columns;
  const [before, after] = [all.runs[run[from]], all.runs[run[to]]];
  const same = before.build && before.build === after.build;
  return h(
    'li',
    {},
    h(
      'span',
      { class: 'turn' },
      statusBadge(code[from]),
      h('span', { 'aria-hidden': 'true', class: 'arrow' }, '→'),
      h('span', { class: 'aside' }, ' to '),
      statusBadge(code[to]),
    ),
    h('a', { href: caseLink(one), class: 'id' }, caseName(one)),
    h(
      'span',
      { class: 'quiet where' },
      `${subject(after)} on ${shortKernel(after.kernel)}, `,
      h('a', { href: runLink(after) }, time(after.started)),
      same ? ', the same build of the kernel' : ', another build of the kernel',
    ),
  );
}
