// The admin token: asked for when the API wants one, kept in this tab's session only.

const KEY = "equipoise-token";
const section = document.getElementById("sign-in");
const form = document.getElementById("token-form");
const input = document.getElementById("token");
const error = document.getElementById("token-error");
const forget = document.getElementById("sign-out");

let answer = null;

/** The token that is known, or `null`. */
export function current() {
  return sessionStorage.getItem(KEY);
}

/** Asks for the token; done when one is given. Whoever asks meanwhile shares the answer. */
export function asked(wasWrong) {
  error.textContent = wasWrong ? "The listener does not know this token." : "";
  input.setAttribute("aria-invalid", String(wasWrong));
  if (!answer) {
    answer = Promise.withResolvers();
    show(true);
  }
  return answer.promise;
}

/** Forgets the token, and everything that was learnt with it. */
function signOut() {
  sessionStorage.removeItem(KEY);
  location.reload();
}

function show(isAsking) {
  section.hidden = !isAsking;
  document.body.classList.toggle("locked", isAsking);
  forget.hidden = isAsking || !current();
  if (isAsking) input.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const secret = input.value.trim();
  if (!/^[\x21-\x7e]+$/.test(secret)) {
    error.textContent = "A token is made of visible ASCII characters.";
    return;
  }
  sessionStorage.setItem(KEY, secret);
  input.value = "";
  show(false);
  answer?.resolve();
  answer = null;
});
forget.addEventListener("click", signOut);
forget.hidden = !current();
