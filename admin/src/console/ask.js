// Requests to the node that this page came from. The token lives in this module's memory and nowhere else.

let token = "";

/** What went wrong with a request, and what the server says of it. */
class Refused extends Error {
  constructor(status, message, body) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/** Keeps the token for the requests that follow. */
export function useToken(text) {
  token = text.trim();
}

/** Whether there is a token to show. */
export function hasToken() {
  return token !== "";
}

/** Asks for something; the token goes along where there is one. */
export function ask(path, { headers = {}, ...options } = {}) {
  const shown = token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
  return fetch(path, { cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer", ...options, headers: shown });
}

/** Asks for JSON. */
export async function askJson(path, options) {
  return told(await ask(path, options));
}

/** Orders a change. */
export async function order(path, body) {
  const headers = { "Content-Type": "application/json" };
  return told(await ask(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

async function told(response) {
  const text = await response.text();
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    // Refusals may be plain text.
  }
  if (response.ok && body !== null) return body;
  throw new Refused(response.status, body?.error ?? (text.trim() || `the node answers ${response.status}`), body);
}
