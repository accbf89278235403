// Tables of sites, certificates and configs.

import { byId, write } from "./dom.js";
import { known } from "./state.js";
import { linkTo } from "./scope.js";
import { table } from "./tables.js";
import { byteRate, bytes, count, moment, NONE, rate, several, share } from "./words.js";

let sites;
let certificates;
let configs;

/** Nodes that are named before the rest is a number. */
const MOST_NAMED = 6;

/** Puts the tables into the page. */
export function openSites() {
  sites = table(byId("sites-table"), "Sites; requests, bytes, fetches and ratios are since the nodes started", [
    { head: "Site", text: (site) => site.id, href: (site) => linkTo("site", site.id), sort: (site) => site.id },
    { head: "Hosts", kind: "wide", text: (site) => few(site.hosts), title: (site) => site.hosts.join("\n") },
    { head: "Now", kind: "number", text: (site) => rate(site.rates.requests_s), sort: (site) => site.rates.requests_s },
    { head: "Sent now", kind: "number wide", text: (site) => byteRate(site.rates.bytes_s), sort: (site) => site.rates.bytes_s },
    { head: "Requests", kind: "number", text: (site) => count(site.requests), sort: (site) => site.requests },
    { head: "Bytes", kind: "number", text: (site) => bytes(site.bytes), sort: (site) => site.bytes },
    { head: "Fetches", kind: "number wide", text: (site) => count(site.fetches), sort: (site) => site.fetches },
    { head: "Hit ratio", kind: "number", text: (site) => share(site.hit_ratio), sort: (site) => site.hit_ratio },
    { head: "Byte offload", kind: "number", text: (site) => share(site.byte_offload), sort: (site) => site.byte_offload },
    { head: "Origin", text: originWord, tone: (site) => (unwell(site).length > 0 ? "warn" : null), title: originTitle },
  ], (site) => site.id);
  certificates = table(byId("certificates-table"), "Certificates", [
    { head: "Name", text: (one) => one.name, sort: (one) => one.name },
    { head: "Days left", kind: "number", text: days, tone: certificateTone, sort: (one) => one.days_left },
    { head: "State", text: certificateWord, tone: certificateTone, kind: "wrap" },
    { head: "Nodes", kind: "wide", text: (one) => few(one.nodes), title: (one) => one.nodes.join(" ") },
  ], (one) => one.name);
  configs = table(byId("configs-table"), "Configs, the newest first", [
    { head: "Version", text: (config) => String(config.version) },
    { head: "Of", kind: "wide", text: (config) => moment(config.version) },
    { head: "Nodes", kind: "number", text: (config) => String(config.nodes.length) },
    { head: "Which", kind: "wrap", text: (config) => few(config.nodes), title: (config) => config.nodes.join(" ") },
  ], (config) => `${config.version} ${config.nodes[0]}`);
}

/** Draws them for what is looked at. */
export function drawSites(scope) {
  const { status } = known;
  byId("sites").hidden = scope.kind === "pop" || scope.kind === "edge";
  const isOne = scope.kind === "site";
  write(byId("sites-heading"), isOne ? "Site" : "Sites, certificates, configs");
  const own = isOne ? status.sites.filter((site) => site.id === scope.id) : status.sites;
  const hosts = own.flatMap((site) => site.hosts.map((host) => host.replace(/:\d+$/, "")));
  sites.draw(own);
  certificates.draw(isOne ? status.certificates.filter((one) => hosts.includes(one.name)) : status.certificates);
  configs.draw(isOne ? [] : status.configs);
}

function few(names) {
  const rest = names.length - MOST_NAMED;
  return rest > 0 ? `${names.slice(0, MOST_NAMED).join(", ")} and ${rest} more` : names.join(", ");
}

function unwell(site) {
  return site.origins.filter((origin) => origin.down.length + origin.left_alone.length > 0);
}

function originWord(site) {
  const out = unwell(site).length;
  return out === 0 ? "well" : `${several(out, "server")} out`;
}

function originTitle(site) {
  const tell = ({ server, down, left_alone }) =>
    [down.length ? `${server}: probes fail at ${down.join(" ")}` : "", left_alone.length ? `${server}: left alone by ${left_alone.join(" ")}` : ""];
  return unwell(site).flatMap(tell).filter(Boolean).join("\n");
}

function days(one) {
  return one.days_left === null ? NONE : one.days_left < 10 ? one.days_left.toFixed(1) : count(Math.floor(one.days_left));
}

function certificateTone(one) {
  if (one.alarming || (one.days_left !== null && one.days_left <= 0)) return "bad";
  return one.fails || one.days_left === null ? "warn" : null;
}

function certificateWord(one) {
  if (one.fails) return `does not come: ${one.fails}`;
  if (one.days_left === null) return "lacking";
  if (one.days_left <= 0) return "has ended";
  return one.alarming ? "ends soon" : "good";
}
