// Numbers and times as people read them.

const SCALES = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

/** What stands where nothing is known. */
export const NONE = "–";

/** A number in three digits or so: 12.3 k. */
export function count(value) {
  if (!isNumber(value)) return NONE;
  const [scale, letter] = SCALES.find(([scale]) => Math.abs(value) >= scale * 0.9995) ?? [1, ""];
  return letter ? `${digits(value / scale)} ${letter}` : digits(value);
}

/** A rate by the second: 12.3 k/s. */
export function rate(value) {
  return isNumber(value) ? `${count(value)}/s` : NONE;
}

/** Bytes, in steps of 1000: 4.1 GB. */
export function bytes(value) {
  if (!isNumber(value)) return NONE;
  const text = count(value);
  return /[A-Z]$/i.test(text) ? `${text}B` : `${text} B`;
}

/** Bytes by the second. */
export function byteRate(value) {
  return isNumber(value) ? `${bytes(value)}/s` : NONE;
}

/** A share as per cent: 0.973 is 97.3 %. */
export function share(value) {
  if (!isNumber(value)) return NONE;
  const percent = 100 * value;
  return `${percent === 0 || percent >= 99.95 ? percent.toFixed(0) : percent.toFixed(1)} %`;
}

/** Milliseconds: 0.4 ms, 12.3 ms, 1.2 s. */
export function milliseconds(value) {
  if (!isNumber(value)) return NONE;
  return value >= 999.5 ? `${digits(value / 1000)} s` : `${digits(value)} ms`;
}

/** How long something takes or lasts: 42 s, 7 min, 3 h 20 min, 12 d 4 h. */
export function span(seconds) {
  if (!isNumber(seconds)) return NONE;
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  const days = Math.floor(whole / 86400);
  return days < 30 ? `${days} d ${Math.floor((whole % 86400) / 3600)} h` : `${count(days)} d`;
}

/** How long ago, seen from `now`; both in milliseconds. */
export function ago(then, now) {
  return isNumber(then) ? `${span((now - then) / 1000)} ago` : NONE;
}

/** The moment itself, for a title. */
export function moment(then) {
  return isNumber(then) ? new Date(then).toISOString().replace("T", " ").replace(/\.\d+Z/, " UTC") : "";
}

/** How many of something: 1 edge, 2 edges. */
export function several(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** A place on earth: 50.1° N, 8.7° E. */
export function place([latitude, longitude]) {
  const half = (value, [plus, minus]) => `${Math.abs(value).toFixed(1)}° ${value < 0 ? minus : plus}`;
  return `${half(latitude, "NS")}, ${half(longitude, "EW")}`;
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

function digits(value) {
  const size = Math.abs(value);
  if (size === 0 || size >= 99.95) return value.toFixed(0);
  if (size >= 9.995 || Number.isInteger(value)) return value.toFixed(Number.isInteger(value) ? 0 : 1);
  return value.toFixed(size >= 0.995 ? 1 : 2);
}
