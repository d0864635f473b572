// Small conveniences; every page works without them.
"use strict";

// An invitation's code travels in the address's fragment, which browsers do not send.
function fillFromFragment() {
  const field = document.querySelector("[data-fragment]");
  if (!field || location.hash.length < 2) return;
  field.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  document.getElementById("password").focus();
}

function row(template, data) {
  const tr = template.content.firstElementChild.cloneNode(true);
  tr.dataset.id = data.id;
  tr.dataset.level = data.level_number;
  for (const element of tr.querySelectorAll("[data-text], [data-href], [data-class]")) {
    const { text, href, class: family } = element.dataset;
    if (text) element.textContent = data[text];
    if (text === "title" || text === "department") element.title = data[text];
    if (href) element.setAttribute("href", data[href]);
    if (family) element.classList.add(`${family}-${data[family]}`);
  }
  return tr;
}

function live() {
  const status = document.getElementById("live");
  const table = document.querySelector("#alerts tbody");
  if (!status || !table || !window.EventSource) return;
  const { stream, first, size, on, off, more, ended } = status.dataset;
  const template = document.getElementById("row");
  const find = (id) => table.querySelector(`tr[data-id="${CSS.escape(id)}"]`);
  const say = (text, ok) => {
    status.textContent = text;
    status.classList.toggle("on", ok);
  };

  const source = new EventSource(stream);
  source.addEventListener("ready", () => say(on, true));
  source.addEventListener("reload", () => location.reload());
  source.addEventListener("finding", (event) => {
    const data = JSON.parse(event.data);
    if (find(data.id)) return;
    const count = document.getElementById("unhandled");
    if (count) count.textContent = Number(count.textContent) + 1;
    if (first !== "true") {
      const link = document.createElement("a");
      link.href = location.pathname + location.search.replace(/([?&])page=\d+/, "$1page=1");
      link.textContent = more;
      status.replaceChildren(link);
      return;
    }
    // Gravest first, then newest: before the first row that is not graver.
    const next = [...table.rows].find((it) => Number(it.dataset.level) <= data.level_number);
    table.insertBefore(row(template, data), next || null);
    while (table.rows.length > Number(size)) table.deleteRow(-1);
    document.getElementById("empty").hidden = true;
  });
  source.addEventListener("state", (event) => {
    const data = JSON.parse(event.data);
    const old = find(data.id);
    if (!old) return;
    const fresh = row(template, data);
    fresh.classList.remove("fresh-row");
    old.replaceWith(fresh);
  });
  source.onerror = () => say(source.readyState === EventSource.CLOSED ? ended : off, false);
}

// j/k move between rows, o opens, e goes to the comment.
function keys() {
  let at = -1;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(input|textarea|select)$/i.test(event.target.tagName)) return;
    if (event.key === "e") {
      const comment = document.getElementById("comment");
      if (comment) {
        event.preventDefault();
        comment.focus();
      }
      return;
    }
    const links = [...document.querySelectorAll("table.list tbody tr td:last-child a:first-child")];
    if (links.length === 0) return;
    if (event.key === "j") at = Math.min(at + 1, links.length - 1);
    else if (event.key === "k") at = Math.max(at - 1, 0);
    else if (event.key === "o" && at >= 0) return links[at].click();
    else return;
    links[at].focus();
  });
}

fillFromFragment();
live();
keys();
