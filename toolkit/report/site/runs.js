// The list of runs, and one run.

function runsView(all, scope, chosen, values) {
  const list = h('div');
  const count = h('output', { id: 'shown', 'aria-live': 'polite' });
  const verdicts = [...new Set(chosen.runs.map((run) => run.verdict))].sort();
  const state = {
    q: values.q ?? '',
    verdict: verdicts.includes(values.verdict) ? values.verdict : '',
  };
  const apply = () => {
    const wanted = words(state.q);
    const found = chosen.runs
      .filter(
        (run) =>
          (!state.verdict || run.verdict === state.verdict) &&
          matches(
            `${subject(run)} ${run.kernel} ${run.release} ${run.name} ${run.command} ${run.accel}`.toLowerCase(),
            wanted,
          ),
      )
      .reverse();
    count.textContent = `${plural(found.length, 'run')}${found.length < chosen.runs.length ? ` of ${chosen.runs.length}` : ''}`;
    list.replaceChildren(...(found.length ? runTable(all, found) : empty('No run fits.')));
    remember({ view: 'runs', ...state });
  };
  const form = h(
    'form',
    { class: 'filter', role: 'search' },
    searchBox('part of a series, kernel, folder or command', state.q, (text) => {
      state.q = text;
      apply();
    }),
    choice(
      'verdict',
      'Verdict',
      [['', 'all'], ...verdicts.map((verdict) => [verdict, verdict.replace('-', ' ')])],
      state.verdict,
      (value) => {
        state.verdict = value;
        apply();
      },
    ),
    count,
  );
  apply();
  return [h('h1', {}, 'Runs'), form, list];
}

function runTable(all, runs) {
  const longest = Math.max(...runs.map((run) => run.ms));
  const columns = [
    { head: 'Started' },
    { head: 'Verdict' },
    { head: 'Series' },
    { head: 'Kernel' },
    { head: 'Machine' },
    { head: 'Bad cases', label: 'Bad', layout: 'num' },
    { head: 'Took', layout: 'num took' },
    { head: '', label: null, layout: 'report' },
  ];
  return listing(columns, runs, (run) => [
    h('a', { href: runLink(run) }, time(run.started)),
    verdictBadge(run),
    subject(run),
    kernelName(run, run.release),
    run.accel.toUpperCase(),
    run.leaves ? `${run.bad} of ${run.leaves.toLocaleString('en')}` : '',
    [duration(run.ms), bar(run.ms, longest)],
    run.report && h('a', { href: run.report }, 'report'),
  ]);
}

function runView(all, scope, chosen, values) {
  const run = all.runs.find(
    (each) => String(each.started) === values.at && each.name === values.name,
  );
  if (!run) return missing('run', values.name ?? '');
  const found = differences(all, run);
  const judged = all.ofRuns[run.number];
  const longest = Math.max(...run.stages.map((stage) => stage.ms), 1);
  return [
    h('p', { class: 'crumb' }, h('a', { href: link('runs') }, 'Runs'), ' / ', run.name),
    h('h1', {}, `${subject(run)} on ${run.release ? `Linux ${run.release}` : run.kernel}`),
    h(
      'p',
      { class: 'lead' },
      verdictBadge(run),
      ' ',
      time(run.started),
      ' UTC, took ',
      duration(run.ms),
      run.report && [' · ', h('a', { href: run.report }, 'its report')],
    ),
    h(
      'dl',
      { class: 'facts' },
      fact(
        'Cases',
        judged.length
          ? `${found.bad.length.toLocaleString('en')} of ${judged.length.toLocaleString('en')} bad`
          : 'none was run',
      ),
      fact(
        'Kernel',
        h('span', { class: 'id' }, run.kernel, run.build && `, build ${run.build.slice(0, 12)}`),
      ),
      run.accel && fact('Accelerator', run.accel.toUpperCase()),
      fact('Exit code', String(run.exit)),
      found.previous &&
        fact(
          'Run before it',
          h('a', { href: runLink(found.previous) }, time(found.previous.started)),
        ),
    ),
    section('command', 'Its command', null, copyable(run.command)),
    found.broke.length > 0 && listed(all, 'broke', 'Went from good to bad', found.broke),
    found.fixed.length > 0 && listed(all, 'fixed', 'Went from bad to good', found.fixed),
    found.previous &&
      !found.broke.length &&
      !found.fixed.length &&
      judged.length > 0 &&
      section(
        'same',
        'Compared with the run before it',
        null,
        h(
          'p',
          {},
          `No case went from good to bad or back.${found.fresh.length ? ` ${plural(found.fresh.length, 'case')} did not run before.` : ''}`,
        ),
      ),
    found.bad.length > 0 && section('bad', `Bad cases`, null, badList(all, found.bad)),
    run.stages.length > 0 &&
      section(
        'stages',
        'Stages',
        null,
        h(
          'table',
          { class: 'bars' },
          h(
            'tbody',
            {},
            run.stages.map((stage) =>
              h(
                'tr',
                {},
                h('th', { scope: 'row' }, stage.name),
                h('td', {}, bar(stage.ms, longest, stage.cached ? 'found' : 'done')),
                h('td', { class: 'num' }, duration(stage.ms)),
                h('td', { class: 'quiet' }, stage.cached && 'found in the cache'),
              ),
            ),
          ),
        ),
      ),
  ];
}

function listed(all, id, title, changes) {
  const list = h('ul', { class: 'rows changes' });
  const more = paged(changes, ({ one, from, to }) => changeRow(all, one, { from, to }), list, 50);
  return section(id, title, null, list, more);
}

function badList(all, bad) {
  const list = h('ul', { class: 'rows changes' });
  const more = paged(
    bad,
    ({ one, to }) =>
      h(
        'li',
        {},
        h('span', { class: 'turn' }, statusBadge(all.columns.code[to])),
        h('a', { href: caseLink(one), class: 'id' }, caseName(one)),
      ),
    list,
    50,
  );
  return [list, more];
}
