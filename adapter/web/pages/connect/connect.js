// What makes the connect page nicer with scripts, and what a popup needs them for. Nothing here is needed to connect.
"use strict";

/** Tells the page that opened this one, and only that origin; leaves, or stays where there is something to read. */
function conclude(outcome) {
  const { message, origin, next } = outcome.dataset;
  const stays = "stays" in outcome.dataset;
  const isTold = Boolean(window.opener && !window.opener.closed && origin);
  if (isTold) {
    window.opener.postMessage(JSON.parse(message), origin);
  }
  if (stays) {
    return;
  }
  // A tab that somebody else's page opened is no popup of ours to close, as long as there is a place to go to.
  if (isTold && !(next && window.menubar.visible)) {
    window.close();
  } else if (next) {
    window.location.replace(next);
  }
}

/** Says that a form is under way, and keeps it from being sent twice. */
function occupy(form) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    const button = form.querySelector("button:not([type])");
    button.setAttribute("aria-disabled", "true");
    if (form.dataset.busy) {
      button.dataset.label = button.textContent;
      button.textContent = form.dataset.busy;
    }
  });
}

/** A page that comes back from the browser's memory is to be used anew. */
function relieve(form) {
  delete form.dataset.sent;
  const button = form.querySelector("button:not([type])");
  button.removeAttribute("aria-disabled");
  if (button.dataset.label) {
    button.textContent = button.dataset.label;
  }
}

function offerCopying(button) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}

function offerShowing(button) {
  const field = document.getElementById(button.dataset.show);
  button.hidden = false;
  button.addEventListener("click", () => {
    const isShown = field.type === "password";
    field.type = isShown ? "text" : "password";
    button.setAttribute("aria-pressed", String(isShown));
    button.textContent = isShown ? "Hide" : "Show";
  });
}

document.querySelectorAll("form").forEach(occupy);
document.querySelectorAll("[data-copy]").forEach(offerCopying);
document.querySelectorAll("[data-show]").forEach(offerShowing);
window.addEventListener("pageshow", (event) => event.persisted && document.querySelectorAll("form").forEach(relieve));
const outcome = document.querySelector("[data-message]");
if (outcome) {
  conclude(outcome);
}
