'use strict';
(() => {
  const form = document.getElementById('filter');
  if (form) {
    const query = document.getElementById('q');
    const shown = document.getElementById('shown');
    const boxes = [...form.querySelectorAll('input[type=checkbox]')];
    let programs;
    let total = 0;
    const index = () => {
      programs = [...document.querySelectorAll('details.program')].map((element) => {
        const name = element.querySelector('summary .id').textContent.toLowerCase();
        const rows = [...element.querySelectorAll('li')].map((row) => ({
          row, status: row.className, text: `${name}/${row.textContent.toLowerCase()}`,
        }));
        total += rows.length;
        return { element, rows, wasOpen: element.open };
      });
    };
    const apply = () => {
      if (!programs) index(); // not while the page opens: it may have many thousand rows
      const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
      const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
      const filtered = words.length > 0 || wanted.size < boxes.length;
      let visible = 0;
      for (const program of programs) {
        let here = 0;
        for (const { row, status, text } of program.rows) {
          const match = wanted.has(status) && words.every((word) => text.includes(word));
          if (row.hidden === match) row.hidden = !match;
          here += match;
        }
        program.element.hidden = here === 0;
        program.element.open = words.length ? here > 0 && here <= 200 : program.wasOpen;
        visible += here;
      }
      shown.textContent = filtered ? `${visible} of ${total} cases` : '';
    };
    let timer = 0;
    query.addEventListener('input', () => {
      clearTimeout(timer);
      timer = setTimeout(apply, 80);
    });
    form.addEventListener('change', apply);
    form.addEventListener('submit', (event) => event.preventDefault());
    document.addEventListener('keydown', (event) => {
      const typing = event.target.matches('input, textarea, [contenteditable]');
      if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        query.focus();
      } else if (event.key === 'Escape' && event.target === query) {
        query.value = '';
        apply();
      }
    });
    form.hidden = false;
  }

  for (const button of document.querySelectorAll('.copy')) {
    button.hidden = false;
    button.addEventListener('click', async () => {
      const code = button.previousElementSibling;
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = 'Copied';
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = 'Selected';
      }
      setTimeout(() => { button.textContent = 'Copy'; }, 1500);
    });
  }
})();
