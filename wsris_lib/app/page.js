"use strict";
const byId = (id) => document.getElementById(id);
const percent = (x) => `${(100 * x).toFixed(0)} %`;
const number = (x, digits = 2) => x.toFixed(digits).replace("-", "−");
let chosen = null; // the picture's name at the server
let asked = 0; // answers that were overtaken by a later question are dropped

function element(tag, text = "", attributes = {}) {
  const node = document.createElement(tag);
  node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function picture(url, alt) {
  return element("img", "", { src: url, alt });
}

async function call(path, options = {}) {
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw new Error("the server doesn't answer; is `python -m wsris_lib app` still running?");
  }
  const value = await reply.json().catch(() => ({ error: `the server answered ${reply.status}` }));
  if (!reply.ok) throw new Error(value.error || `the server answered ${reply.status}`);
  return value;
}

const send = (path, value) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });

function complain(message, field) {
  byId("problem").textContent = message ? message[0].toUpperCase() + message.slice(1) + (/[.?!]$/.test(message) ? "" : ".") : "";
  for (const id of ["file", "sentence"]) byId(id).toggleAttribute("aria-invalid", id === field);
  if (field) byId(field).focus();
}

// -- what is loaded ----------------------------------------------------------------------------------------------------

async function watch() {
  let status;
  try {
    status = await call("/api/status");
  } catch (problem) {
    byId("loading-line").textContent = problem.message;
    setTimeout(watch, 3000);
    return;
  }
  byId("profile").textContent = status.profile;
  const over = status.parts.filter((part) => !["waiting", "loading"].includes(part.state)).length;
  const ready = status.parts.filter((part) => part.state === "ready").length;
  const current = status.parts.find((part) => part.state === "loading");
  byId("loading-bar").max = status.parts.length;
  byId("loading-bar").value = over;
  byId("loading-bar").hidden = status.done;
  let line = current ? `Loading ${current.title} (${over + 1} of ${status.parts.length})…` : `${ready} of ${status.parts.length} parts are ready.`;
  if (status.done && !status.trained) line = `No trained model of this profile is there. Run \`${status.command}\` first, then start this page again.`;
  if (byId("loading-line").textContent !== line) byId("loading-line").textContent = line;
  byId("parts").replaceChildren(...status.parts.map((part) =>
    element("li", `${part.title}: ${part.state}${part.state === "ready" ? `, ${part.seconds} s` : ""}${part.note ? ` (${part.note})` : ""}`)));
  if (!status.done) setTimeout(watch, 500);
}

// -- the picture -------------------------------------------------------------------------------------------------------

function show(answer, alt) {
  chosen = answer.image;
  byId("picture").src = answer.picture;
  byId("picture").alt = alt;
  byId("picture").hidden = false;
  byId("answers").hidden = true;
}

function forget() {
  chosen = null;
  asked += 1;
  byId("picture").hidden = true;
  byId("answers").hidden = true;
  byId("suggestions").replaceChildren();
  for (const button of byId("examples").children) button.setAttribute("aria-pressed", "false");
}

byId("file").addEventListener("change", async () => {
  const [file] = byId("file").files;
  if (!file) return;
  forget();
  complain("");
  try {
    if (file.size > 32 * 2 ** 20) throw new Error("the file is larger than 32 MB; make it smaller");
    show(await call("/api/image", { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file }), `Your picture ${file.name}`);
  } catch (problem) {
    complain(problem.message, "file");
  }
});

async function examples() {
  const { examples: some } = await call("/api/examples");
  byId("examples-title").hidden = !some.length;
  byId("examples").replaceChildren(...some.map(({ number: n, sentences }) => {
    const button = element("button", "", { type: "button", "aria-pressed": "false" });
    button.append(picture(`/api/example/${n}.jpg`, `Example ${n + 1}: ${sentences.join("; ")}`));
    button.addEventListener("click", async () => {
      forget();
      complain("");
      byId("file").value = "";
      button.setAttribute("aria-pressed", "true");
      try {
        show(await send("/api/example", { number: n }), `Example ${n + 1}`);
        byId("suggestions").replaceChildren(...sentences.map((sentence) => {
          const one = element("button", sentence, { type: "button" });
          one.addEventListener("click", () => {
            byId("sentence").value = sentence;
            byId("question").requestSubmit();
          });
          return one;
        }));
      } catch (problem) {
        complain(problem.message);
      }
    });
    return button;
  }));
}

// -- the answers -------------------------------------------------------------------------------------------------------

byId("question").addEventListener("submit", async (event) => {
  event.preventDefault();
  const sentence = byId("sentence").value;
  if (!chosen) return complain("choose a picture first", "file");
  if (!sentence.trim()) return complain("the sentence is empty; say which object is meant, for example “the mug on the left”", "sentence");
  complain("");
  asked += 1;
  const mine = asked;
  byId("ask").disabled = true;
  byId("ask").textContent = "Looking…";
  try {
    const answer = await send("/api/answer", { image: chosen, sentence });
    if (mine === asked) present(answer);
  } catch (problem) {
    if (mine === asked) complain(problem.message, "sentence");
  } finally {
    byId("ask").disabled = false;
    byId("ask").textContent = "Show the answers";
  }
});

function present(answer) {
  byId("answers").hidden = false;
  const sure = answer.confidence === null ? "" : ` That it is in the picture at all: ${percent(answer.confidence)}.`;
  byId("summary").textContent = `“${answer.sentence}”: ${answer.answers.length} answers in ${answer.seconds.toFixed(2)} s.${sure}`;
  byId("notes").replaceChildren(...answer.notes.map((note) => element("li", note)));
  byId("rows").replaceChildren(...answer.answers.map((row) => card(row, answer.sentence)));
  byId("proposals").src = answer.proposals.picture;
  byId("proposals").alt = `The picture with the outlines of its ${answer.proposals.count} proposals, numbered`;
  byId("proposals-text").textContent = `${answer.look.proposals} masks, made before the sentence is read, and their features: ${answer.look.seconds.toFixed(2)} s (0 where that was done while you typed).`;
  ranking(answer.steps);
  geometry(answer.steps);
  byId("response-step").hidden = !answer.response.picture;
  if (answer.response.picture) {
    byId("response").src = answer.response.picture;
    byId("response").alt = `EHIN's response to “${answer.sentence}”, yellow where it is strongest`;
    byId("response-text").textContent = `How strongly each of ${answer.response.cells.join(" × ")} cells answers, from ${number(answer.response.low)} (blue) to ${number(answer.response.high)} (yellow); the mask is where it is positive.`;
  }
  byId("answers").focus();
}

function card(row, sentence) {
  const figure = element("figure", "", { "data-model": row.model });
  const what = row.empty ? "an empty mask" : `a mask of ${percent(row.area)} of the picture`;
  figure.append(picture(row.picture, `${row.title} answers “${sentence}” by ${what}`));
  const caption = element("figcaption");
  caption.append(element("strong", row.title));
  caption.append(element("span", `${row.empty ? "empty mask" : `${(100 * row.area).toFixed(1)} % of the picture`}${row.proposal ? `, proposal ${row.proposal}` : ""} · ${row.certainty_of} ${number(row.certainty)} · ${row.seconds.toFixed(2)} s`));
  figure.append(caption);
  return figure;
}

function ranking({ candidates, ranked, choices }) {
  byId("ranking-step").hidden = !candidates.length;
  byId("ranking-text").textContent = `The ${ranked} proposals nearest to the sentence go on; each with CLIP's cosine. Framed: the final choice.`;
  const final = choices.length ? choices[0].proposal : candidates[0]?.proposal;
  byId("candidates").replaceChildren(...candidates.map((one, n) => {
    const figure = element("figure", "", one.proposal === final ? { class: "chosen" } : {});
    figure.append(picture(one.picture, `Candidate ${n + 1}: proposal ${one.proposal}`));
    figure.append(element("figcaption", `Proposal ${one.proposal}: ${number(one.clip, 3)}`));
    return figure;
  }));
}

function row(cells, kind, heading = "td") {
  const line = element("tr", "", kind ? { class: kind } : {});
  line.append(...cells.map((text, n) => element(n ? heading : "th", text, n && heading === "td" ? {} : { scope: heading === "th" ? "col" : "row" })));
  return line;
}

function geometry({ candidates, choices }) {
  byId("geometry-step").hidden = !choices.length;
  if (!choices.length) return;
  const [full, ...fewer] = choices;
  const axes = Object.keys(candidates[0].adds);
  const changes = fewer.filter((choice) => choice.changed).map((choice) => choice.without.split("").join(", "));
  byId("geometry-text").textContent = changes.length
    ? `Where the masks are changed the choice: without ${changes.join("; without ")} it would be another.`
    : "Where the masks are changed nothing here: without any coordinate the choice is the same.";
  byId("scores").replaceChildren(
    element("caption", "Scores s of eq. 3, and what each coordinate adds to them"),
    row(["Proposal", "CLIP", "x", "y", "z", ...axes.map((axis) => `${axis} adds`), "s", "p"], "", "th"),
    ...candidates.map((one) => row([String(one.proposal), number(one.clip, 3), ...["x", "y", "z"].map((axis) => number(one[axis])),
      ...axes.map((axis) => number(one.adds[axis])), number(one.score), number(one.p)], one.proposal === full.proposal ? "chosen" : "")));
  byId("choices").replaceChildren(
    element("caption", "The choice with each coordinate set to the middle of the frame"),
    row(["Without", "Proposal", "p", "Another choice?"], "", "th"),
    ...choices.map((choice) => row([choice.without ? choice.without.split("").join(", ") : "nothing", String(choice.proposal), number(choice.p), choice.changed ? "yes" : "no"], choice.changed ? "changed" : "")));
}

watch();
examples().catch((problem) => complain(problem.message));
