// Which view is shown: the part of the address behind "#", so that every view can be linked to.

(() => {
  const all = decode(JSON.parse(document.getElementById('data').textContent));
  const main = document.getElementById('main');
  const scopeForm = document.getElementById('scope');
  const title = document.title;
  const VIEWS = {
    overview,
    cases: casesView,
    case: caseView,
    runs: runsView,
    run: runView,
    timings: timingsView,
  };
  const PARENTS = { case: 'cases', run: 'runs' };
  const UNPATCHED = '(unpatched)'; // of a run without a series, whose name is empty
  let chosen = null;
  let chosenBy = '';
  let scope = { series: null, kernel: null, days: '' };

  globalThis.currentScope = () => ({
    series: scope.series === '' ? UNPATCHED : scope.series,
    kernel: scope.kernel,
    days: scope.days,
  });

  function parse() {
    const [, view = '', query = ''] = /^#\/?([a-z]*)\??(.*)$/s.exec(location.hash) ?? [];
    return {
      view: Object.hasOwn(VIEWS, view) ? view : 'overview',
      values: Object.fromEntries(new URLSearchParams(query)),
    };
  }

  // What a view's own filter says goes into the address without a step back for each letter.
  globalThis.remember = ({ view, ...values }) => {
    history.replaceState(null, '', link(view, values));
  };

  function readScope(values) {
    const series = values.series === UNPATCHED ? '' : values.series;
    scope = {
      series: all.runs.some((run) => run.series === series) ? series : null,
      kernel: all.runs.some((run) => run.kernel === values.kernel) ? values.kernel : null,
      days: /^\d{1,4}$/.test(values.days ?? '') ? values.days : '',
    };
  }

  function show(focus) {
    const { view, values } = parse();
    readScope(values);
    const key = JSON.stringify(scope);
    if (key !== chosenBy) {
      chosen = select(all, scope);
      chosenBy = key;
    }
    fillScope(view);
    const content = chosen.runs.length
      ? VIEWS[view](all, scope, chosen, values)
      : [
          h('h1', {}, 'No run fits'),
          h('p', {}, 'This series never ran on this kernel, or not lately.'),
        ];
    main.replaceChildren(...content.flat(Infinity).filter(Boolean));
    const heading = main.querySelector('h1');
    document.title = view === 'overview' ? title : `${heading.textContent} · ${title}`;
    for (const each of document.querySelectorAll('nav a')) {
      each.href = link(each.dataset.view);
      if (each.dataset.view === (PARENTS[view] ?? view)) each.setAttribute('aria-current', 'page');
      else each.removeAttribute('aria-current');
    }
    if (focus) {
      scrollTo(0, 0);
      main.focus({ preventScroll: true });
    }
  }

  // --- which runs ------------------------------------------------------------------------------

  function distinct(field) {
    const last = new Map();
    for (const run of all.runs) last.set(run[field], run.number);
    return [...last].sort(([, a], [, b]) => b - a).map(([value]) => value);
  }

  function fillSelect(field, word) {
    const values = distinct(field);
    const options = values.map((value) =>
      h(
        'option',
        { value: value === '' ? UNPATCHED : value },
        value === '' ? 'unpatched' : shortKernel(value),
      ),
    );
    scopeForm.elements[field].append(
      h(
        'option',
        { value: '' },
        `all ${values.length > 1 ? values.length : ''} ${word}`.replace('  ', ' '),
      ),
      ...options,
    );
  }

  function fillScope(view) {
    const { series, kernel, days } = currentScope();
    scopeForm.elements.series.value = series ?? '';
    scopeForm.elements.kernel.value = kernel ?? '';
    scopeForm.elements.days.value = days;
    document.getElementById('chosen').textContent = chosen.whole
      ? ''
      : `${plural(chosen.runs.length, 'run')} of ${all.runs.length}`;
    const reset = document.getElementById('reset');
    reset.hidden = chosen.whole && !days;
    reset.href = `#/${PARENTS[view] ?? view}`;
  }

  scopeForm.addEventListener('submit', (event) => event.preventDefault());
  scopeForm.addEventListener('change', () => {
    const { view, values } = parse();
    const picked = Object.fromEntries(
      ['series', 'kernel', 'days'].map((name) => [name, scopeForm.elements[name].value]),
    );
    location.hash = link(view, { ...values, ...picked }).slice(1);
  });

  // --- keys ------------------------------------------------------------------------------------

  document.addEventListener('submit', (event) => event.preventDefault());
  document.addEventListener('keydown', (event) => {
    const query = document.getElementById('q');
    const typing = event.target.matches('input[type=search], textarea, select');
    if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      if (query) query.focus();
      else location.hash = link('cases').slice(1);
    } else if (event.key === 'Escape' && query && event.target === query && query.value) {
      event.preventDefault();
      query.value = '';
      query.dispatchEvent(new Event('input'));
    }
  });
  document.querySelector('.skip').addEventListener('click', (event) => {
    event.preventDefault();
    main.focus();
  });

  fillSelect('series', 'series');
  fillSelect('kernel', 'kernels');
  const [runs, cut] = all.leftOut;
  document.getElementById('foot').textContent = [
    'Times are in UTC. Intervals are Wilson’s, at 95 %.',
    runs ? `${plural(runs, 'older run is', 'older runs are')} left out for want of room.` : '',
    cut ? `${plural(cut, 'result')} of the newest run did not fit.` : '',
  ]
    .filter(Boolean)
    .join(' ');
  scopeForm.hidden = false;
  document.querySelector('nav').hidden = false;
  addEventListener('hashchange', () => show(true));
  show(false);
})();
