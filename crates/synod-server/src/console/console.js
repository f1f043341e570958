// The console's script: fetches the page that is shown again and again, takes over what has changed, and sends an operator's
// commands. The server makes all HTML; nothing that is said by others becomes HTML here.
"use strict";

const PACE = 2000;
const main = document.getElementById("main");
const live = document.getElementById("live");
const news = document.getElementById("news");
const enter = document.getElementById("enter");
const sign = document.getElementById("sign");
const act = document.getElementById("act");

// ---- The token, as long as the tab is there.

let token = sessionStorage.getItem("synod-token");

function keep(next) {
  token = next;
  if (token) sessionStorage.setItem("synod-token", token);
  else sessionStorage.removeItem("synod-token");
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(path, { ...options, headers, cache: "no-store", signal: AbortSignal.timeout(15000) });
  if (answer.ok) return answer;
  let said;
  try {
    said = await answer.json();
  } catch {
    said = { error: `the answer is ${answer.status}` };
  }
  const error = new Error(said.cause ? `${said.error}: ${said.cause}` : said.error);
  error.status = answer.status;
  error.remedy = said.remedy;
  throw error;
}

async function whoami() {
  let role = "", certified = false;
  if (token || location.protocol === "https:") {
    try {
      const told = await (await ask("/api/role")).json();
      ({ role } = told);
      certified = told.by_certificate && !token;
    } catch (error) {
      if (error.status === 403) keep(null);
    }
  }
  document.body.dataset.role = role;
  // There is nothing to sign out of.
  enter.hidden = certified;
  enter.textContent = role ? "Sign out" : main.hasAttribute("data-closed") ? "Sign in" : "Sign in to act";
  enter.title = role ? `Signed in: ${role}` : "";
  enter.classList.remove("pending");
}

enter.addEventListener("click", () => {
  if (token) {
    keep(null);
    location.reload();
    return;
  }
  open(sign);
});

sign.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = document.getElementById("sign-token");
  keep(field.value.trim());
  try {
    const { role } = await (await ask("/api/role")).json();
    field.value = "";
    sign.close();
    await whoami();
    say(`Signed in: ${role}`);
    await refresh();
  } catch (error) {
    keep(null);
    wrong(sign, error);
  }
});

// ---- Refreshing.

let last = 0;
let busy = false;

async function refresh() {
  if (busy || document.hidden || sign.open || act.open) return;
  if (main.hasAttribute("data-closed") && !token) return;
  busy = true;
  try {
    const text = await (await ask(location.pathname, { headers: { Accept: "text/html" } })).text();
    const page = new DOMParser().parseFromString(text, "text/html");
    const next = page.getElementById("main");
    const before = counts();
    main.removeAttribute("data-closed");
    document.title = page.title;
    renew(main, next);
    for (const part of [".cluster", "nav"]) {
      const [old, fresh] = [document.querySelector(`header ${part}`), page.querySelector(`header ${part}`)];
      if (old && fresh) renew(old, fresh);
      else if (fresh) document.querySelector(".brand").append(" ", document.adoptNode(fresh));
    }
    ready();
    announce(before, counts());
    last = Date.now();
    state("on", "refreshed just now");
  } catch (error) {
    state("lost", error.status ? error.message : "no answer");
  } finally {
    busy = false;
  }
}

function state(name, text) {
  if (live.dataset.state !== name && name === "lost") say(`Not refreshed: ${text}`);
  live.dataset.state = name;
  if (live.textContent !== text) live.textContent = text;
}

function say(text) {
  news.textContent = text;
}

// What a screen reader is told: changes of the figures, and nothing else.
function counts() {
  const tiles = main.querySelectorAll(".tile");
  return new Map([...tiles].map((tile) => [tile.querySelector("dt").textContent, tile.querySelector("dd").textContent]));
}

function announce(before, after) {
  const said = [];
  for (const name of ["Process", "In doubt", "Needs attention"]) {
    if (before.has(name) && after.has(name) && before.get(name) !== after.get(name)) said.push(`${name}: ${after.get(name)}`);
  }
  if (said.length) say(said.join(". "));
}

// Makes `old` the same as `next`, node by node, so that what has not changed stays: its focus, and its place.
function renew(old, next) {
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (old.matches("[data-list]") && isHeld(old)) return renewHeld(old, next);
  const [was, is] = [[...old.childNodes], [...next.childNodes]];
  is.forEach((node, at) => {
    const there = was[at];
    if (!there) old.append(document.adoptNode(node));
    else if (there.nodeType !== node.nodeType || there.nodeName !== node.nodeName) there.replaceWith(document.adoptNode(node));
    else if (node.nodeType === Node.ELEMENT_NODE) renew(there, node);
    else if (there.data !== node.data) there.data = node.data;
  });
  was.slice(is.length).forEach((node) => node.remove());
}

// A list holds still while the pointer or the focus is in it: nobody wants to press what has just moved there.
function isHeld(list) {
  return list.contains(document.activeElement) || list.matches(":hover");
}

function renewHeld(list, next) {
  const fresh = new Map([...next.children].map((row) => [row.dataset.key, row]));
  for (const row of list.children) {
    const now = fresh.get(row.dataset.key);
    if (now) renew(row, now);
    row.classList.toggle("over", !now);
    if (!now && row.lastElementChild) row.lastElementChild.firstElementChild?.setAttribute("title", "not in the list any more");
  }
}

// ---- Commands.

const acts = {
  inquire: ({ tx }) => ({
    title: `Drive ${tx} to its end`,
    warning: "The cluster brings it to its end at once: to abort, where a vote is missing. What is committed stays committed.",
    go: "Drive it to its end",
    fields: [],
    send: () => [`/api/transactions/${path(tx)}/inquire`, undefined],
  }),
  resolve: ({ tx, at }) => ({
    title: `End ${tx} by hand`,
    warning:
      "The last resort. This ends it in one database, and nowhere else. If another database ended it the other way, or will, " +
      "the two contradict each other for ever, and nothing will mend that. It is refused while the cluster can decide.",
    go: "End it by my word",
    isDanger: true,
    fields: [
      { name: "outcome", label: "It is to", options: [["", "choose\u2026"], ["commit", "commit"], ["abort", "abort"]] },
      { name: "at", label: "At the database of node", value: at.split(" ")[0], number: true },
      { name: "confirm", label: `Type ${tx} to confirm`, equals: tx },
    ],
    send: (form) => [`/api/transactions/${path(tx)}/resolve`, { outcome: form.outcome, at: Number(form.at) }],
  }),
  replace: () => ({
    title: "Replace a member",
    warning:
      "Puts a new node in a member\u2019s place. Its process must run already (synod join, synod run). Do not switch the old one " +
      "off before synod members says that it may leave.",
    go: "Replace it",
    isDanger: true,
    fields: [
      { name: "old", label: "The member that goes, by its number", number: true },
      { name: "new", label: "The node that comes, by its number", number: true },
      { name: "address", label: "Where it is: host:port" },
      { name: "confirm", label: "Type the number of the member that goes once more", same: "old" },
    ],
    send: (form) => ["/api/members/replace", { old: Number(form.old), new: Number(form.new), address: form.address }],
  }),
  depart: () => ({
    title: "Write a participant off",
    warning: "Its transactions end without it, and its database must never be used again. There is no way back.",
    go: "Write it off",
    isDanger: true,
    fields: [
      { name: "node", label: "The participant, by its number", number: true },
      { name: "confirm", label: "Type its number once more", same: "node" },
    ],
    send: (form) => ["/api/members/depart", { node: Number(form.node) }],
  }),
};

function path(tx) {
  return encodeURIComponent(tx.replace("#", "-"));
}

let doing = null;

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.hasAttribute("data-close")) button.closest("dialog").close();
  else if (button.dataset.act && Object.hasOwn(acts, button.dataset.act)) prepare(button);
});

function prepare(button) {
  doing = acts[button.dataset.act](button.dataset);
  document.getElementById("act-title").textContent = doing.title;
  document.getElementById("act-warning").textContent = doing.warning;
  const go = document.getElementById("act-go");
  go.textContent = doing.go;
  go.toggleAttribute("data-danger", Boolean(doing.isDanger));
  const fields = document.getElementById("act-fields");
  fields.replaceChildren(...doing.fields.map(field));
  open(act);
}

function field({ name, label, options, value = "", number }) {
  const [around, input] = [document.createElement("label"), document.createElement(options ? "select" : "input")];
  for (const [value, text] of options ?? []) input.append(new Option(text, value));
  input.name = name;
  input.value = value;
  input.required = true;
  if (number) [input.inputMode, input.pattern] = ["numeric", "[0-9]+"];
  if (!options) [input.autocomplete, input.spellcheck] = ["off", false];
  around.append(label, " ", input);
  return around;
}

act.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = Object.fromEntries([...new FormData(event.target)].map(([name, value]) => [name, value.trim()]));
  for (const { name, equals, same } of doing.fields) {
    const wanted = equals ?? (same && form[same]);
    if (wanted && form[name] !== wanted) return wrong(act, new Error(`Nothing was done: type ${wanted} to confirm`));
  }
  const go = document.getElementById("act-go");
  go.disabled = true;
  try {
    const [to, body] = doing.send(form);
    const options = { method: "POST" };
    if (body) [options.body, options.headers] = [JSON.stringify(body), { "Content-Type": "application/json" }];
    await ask(to, options);
    act.close();
    say(`Done: ${doing.title}`);
    await refresh();
  } catch (error) {
    wrong(act, error);
  } finally {
    go.disabled = false;
  }
});

function open(dialog) {
  dialog.querySelector(".wrong").textContent = "";
  if (dialog === sign) document.getElementById("sign-token").value = "";
  dialog.showModal();
}

function wrong(dialog, error) {
  dialog.querySelector(".wrong").textContent = error.remedy ? `${error.message}. ${error.remedy}` : error.message;
}

sign.addEventListener("close", () => {
  if (!sign.open) document.getElementById("sign-token").value = "";
});

// ---- Pages that need the token cannot be gone to by the browser: they are fetched here.

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='/']");
  if (!link || !token || event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});

async function go(to) {
  history.pushState(null, "", to);
  await show();
}

async function show() {
  main.focus();
  main.replaceChildren();
  scrollTo(0, 0);
  await refresh();
}

window.addEventListener("popstate", show);

function ready() {
  const find = document.getElementById("find");
  if (!find) return;
  find.classList.remove("pending");
  find.onsubmit = (event) => {
    event.preventDefault();
    const tx = new FormData(find).get("tx").trim();
    const to = `/transactions/${path(tx)}`;
    if (token) go(to);
    else location.href = to;
  };
}

setInterval(refresh, PACE);
setInterval(() => {
  const age = Math.floor((Date.now() - last) / 1000);
  if (live.dataset.state === "on" && age >= 5) state("on", `refreshed ${age} s ago`);
}, 1000);
document.addEventListener("visibilitychange", refresh);

last = Date.now();
if (!main.hasAttribute("data-closed")) state("on", "refreshed just now");
ready();
whoami().then(() => {
  if (main.hasAttribute("data-closed") && token) refresh();
  else if (main.hasAttribute("data-closed")) open(sign);
});
