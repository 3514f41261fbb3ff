'use strict';
// What the page holds, taken apart into flat columns, and the statistics over it. Pure: nothing here
// touches the document. toolkit/report/site/page.py writes the data.

const STATUSES = {
  P: 'pass',
  F: 'fail',
  C: 'crash',
  T: 'timeout',
  E: 'error',
  X: 'xpass',
  S: 'skip',
  K: 'xfail',
};
const LETTERS = Object.keys(STATUSES);
const BAD = new Set(['F', 'C', 'T', 'E', 'X'].map((letter) => LETTERS.indexOf(letter)));
const SKIPPED = LETTERS.indexOf('S');
const Z = 1.959964; // of a normal distribution's middle 95 %

const toneOf = (code) => {
  if (BAD.has(code)) return 'bad';
  return { pass: 'good', skip: 'still', xfail: 'warn' }[STATUSES[LETTERS[code]]];
};
const statusOf = (code) => STATUSES[LETTERS[code]];

function decode(raw) {
  const word = (place) => raw.words[place];
  const runs = raw.runs.map((row, number) => {
    const [
      started,
      ms,
      verdict,
      exit,
      series,
      kernel,
      release,
      accel,
      build,
      name,
      command,
      bad,
      leaves,
      stages,
      report,
    ] = row;
    return {
      number,
      started,
      ms,
      verdict,
      exit,
      bad,
      leaves,
      report,
      series: word(series),
      kernel: word(kernel),
      release: word(release),
      accel: word(accel),
      build: word(build),
      name: word(name),
      command: word(command),
      stages: stages.map(([stage, took, cached]) => ({
        name: word(stage),
        ms: took,
        cached: Boolean(cached),
      })),
    };
  });
  const lines = new Map(); // a line: one series on one kernel
  for (const run of runs) {
    const key = `${run.series}\n${run.kernel}`;
    if (!lines.has(key)) {
      lines.set(key, { number: lines.size, series: run.series, kernel: run.kernel, runs: [] });
    }
    run.line = lines.get(key);
    run.line.runs.push(run);
  }
  const columns = {
    run: new Uint16Array(raw.results),
    code: new Uint8Array(raw.results),
    ms: new Int32Array(raw.results).fill(-1),
  };
  const cases = [];
  const programs = [];
  const ofRuns = runs.map(() => []); // the results of each run: places in the columns
  let at = 0;
  for (const [suite, name, steps, members] of raw.programs) {
    let number = 0;
    const inRuns = steps.map((step) => {
      number += step;
      return number;
    });
    const program = { suite, name, id: [suite, name].filter(Boolean).join('/'), cases: [] };
    programs.push(program);
    for (const [caseName, record, times] of members) {
      const start = at;
      let place = 0;
      for (const [, letter, count] of record.matchAll(/([A-Z-])(\d*)/g)) {
        const code = LETTERS.indexOf(letter);
        for (let left = Number(count || 1); left > 0; left -= 1, place += 1) {
          if (letter === '-') continue;
          columns.run[at] = inRuns[place];
          columns.code[at] = code;
          if (times) columns.ms[at] = times[at - start];
          at += 1;
        }
      }
      const one = {
        program,
        name: caseName,
        start,
        end: at,
        number: cases.length,
        id: [program.id, caseName].filter(Boolean).join('/'),
      };
      for (let result = start; result < at; result += 1) {
        ofRuns[columns.run[result]].push([one, result]);
      }
      program.cases.push(one);
      cases.push(one);
    }
  }
  return {
    runs,
    lines: [...lines.values()],
    cases,
    programs,
    columns,
    ofRuns,
    leftOut: raw.leftOut,
  };
}

// Wilson's score interval: unlike the usual ± it is of use for 0 of 5 and 1 of 20.
function wilson(seen, of) {
  if (!of) return [0, 1];
  const share = seen / of;
  const scale = 1 + (Z * Z) / of;
  const middle = (share + (Z * Z) / (2 * of)) / scale;
  const half = (Z / scale) * Math.sqrt((share * (1 - share)) / of + (Z * Z) / (4 * of * of));
  return [seen ? Math.max(0, middle - half) : 0, seen < of ? Math.min(1, middle + half) : 1];
}

function median(values) {
  if (!values.length) return null;
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

// The runs that the scope asks for, as a mask, and what each case did in them.
function select(all, scope) {
  const newest = all.runs.at(-1).started;
  const since = scope.days ? newest - Number(scope.days) * 86400 : -Infinity;
  const inScope = Uint8Array.from(all.runs, (run) =>
    Number(
      run.started >= since &&
        (scope.series === null || run.series === scope.series) &&
        (scope.kernel === null || run.kernel === scope.kernel),
    ),
  );
  const runs = all.runs.filter((run) => inScope[run.number]);
  const cases = [];
  for (const one of all.cases) {
    const summary = summarize(all, one, inScope);
    if (summary) cases.push(summary);
  }
  return { runs, inScope, cases, whole: runs.length === all.runs.length };
}

// A case fails now where it is bad in its last run of any line, also when another line has run since.
// A change is one between good and bad from one run of a line to the next that judged the case.
function summarize(all, one, inScope) {
  const { run, code } = all.columns;
  const before = new Map();
  let last = -1;
  let judged = 0;
  let bad = 0;
  let changes = 0;
  let change = null;
  for (let at = one.start; at < one.end; at += 1) {
    if (!inScope[run[at]]) continue;
    last = at;
    if (code[at] === SKIPPED) continue;
    const isBad = BAD.has(code[at]);
    judged += 1;
    if (isBad) bad += 1;
    const { line } = all.runs[run[at]];
    const previous = before.get(line);
    if (previous !== undefined && BAD.has(code[previous]) !== isBad) {
      changes += 1;
      change = { from: previous, to: at };
    }
    before.set(line, at);
  }
  if (last < 0) return null;
  const flake = bad && bad < judged ? flakes(all, one, inScope) : { bad: 0, of: 0, flaky: false };
  const lasts = [...before.values()];
  const failing = lasts.filter((at) => BAD.has(code[at])).sort((a, b) => a - b);
  return {
    one,
    last,
    judged,
    bad,
    changes,
    change,
    flake,
    failing,
    lines: lasts.length,
    now: failing.at(-1) ?? last,
  };
}

// A case is flaky where one build of the kernel saw it both pass and fail. The rate counts the builds
// on which it has ever passed: where it only fails it is broken, which is no chance.
function flakes(all, one, inScope) {
  const { run, code } = all.columns;
  const builds = new Map();
  for (let at = one.start; at < one.end; at += 1) {
    if (!inScope[run[at]] || code[at] === SKIPPED) continue;
    const { build, number } = all.runs[run[at]];
    const key = build || number;
    const count = builds.get(key) ?? { bad: 0, of: 0 };
    count.of += 1;
    if (BAD.has(code[at])) count.bad += 1;
    builds.set(key, count);
  }
  const passing = [...builds.values()].filter((count) => count.bad < count.of);
  const sum = (field) => passing.reduce((total, count) => total + count[field], 0);
  return { bad: sum('bad'), of: sum('of'), flaky: sum('bad') > 0 };
}

function results(all, one, inScope) {
  const found = [];
  for (let at = one.start; at < one.end; at += 1) if (inScope[all.columns.run[at]]) found.push(at);
  return found;
}

// How long a program took in each run: the sum over its cases.
function programTimes(all, inScope) {
  const timed = [];
  for (const program of all.programs) {
    const sums = new Map();
    for (const one of program.cases) {
      for (let at = one.start; at < one.end; at += 1) {
        const run = all.columns.run[at];
        const ms = all.columns.ms[at];
        if (inScope[run] && ms >= 0) sums.set(run, (sums.get(run) ?? 0) + ms);
      }
    }
    if (!sums.size) continue;
    const points = [...sums]
      .sort(([a], [b]) => a - b)
      .map(([run, ms]) => ({ run: all.runs[run], ms }));
    const values = points.map((point) => point.ms);
    timed.push({
      program,
      points,
      median: median(values),
      last: values.at(-1),
      longest: Math.max(...values),
    });
  }
  return timed.sort((a, b) => b.median - a.median);
}

function stageTimes(runs) {
  const stages = new Map();
  for (const run of runs) {
    for (const stage of run.stages) {
      if (!stages.has(stage.name)) stages.set(stage.name, []);
      stages.get(stage.name).push({ run, ms: stage.ms, cached: stage.cached });
    }
  }
  return [...stages]
    .map(([name, points]) => ({
      name,
      points,
      done: median(points.filter((point) => !point.cached).map((point) => point.ms)),
      found: median(points.filter((point) => point.cached).map((point) => point.ms)),
      total: points.reduce((sum, point) => sum + point.ms, 0),
    }))
    .sort((a, b) => b.total - a.total);
}

// What is different in a run from the one before it in its line, case by case.
function differences(all, run) {
  const judged = all.ofRuns[run.number];
  const earlier = run.line.runs.filter(
    (each) => each.number < run.number && all.ofRuns[each.number].length,
  );
  const previous = earlier.at(-1);
  const { code } = all.columns;
  const found = { previous, broke: [], fixed: [], fresh: [], bad: [] };
  const before = new Map(previous ? all.ofRuns[previous.number].map(([one, at]) => [one, at]) : []);
  for (const [one, at] of judged) {
    const isBad = BAD.has(code[at]);
    if (isBad) found.bad.push({ one, to: at });
    if (!previous) continue;
    const was = before.get(one);
    if (was === undefined) found.fresh.push({ one, to: at });
    else if (BAD.has(code[was]) !== isBad && (isBad || code[at] !== SKIPPED)) {
      found[isBad ? 'broke' : 'fixed'].push({ one, from: was, to: at });
    }
  }
  return found;
}
