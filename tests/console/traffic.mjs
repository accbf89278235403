// Some traffic for the demo, so that the console has something to show: clients of many countries ask its name servers, and
// fetch from the edge that they are told.
//
//     node tests/console/traffic.mjs [SECONDS]

import { createSocket } from "node:dgram";
import { Agent, request } from "node:http";
import { pathToFileURL } from "node:url";

const SERVERS = ["127.0.0.1", "127.0.0.2"];
const DNS_PORT = 5300;
const HTTP_PORT = 8080;
const NAME = "www.shop.example";
const PATHS = ["/", "/assets/shop.css", "/news/today.html"];
/** Networks of many countries, and how many clients are in each. */
const CLIENTS = [
  [[193, 0, 6], 9], // Netherlands
  [[194, 25, 0], 14], // Germany
  [[212, 27, 48], 11], // France
  [[212, 58, 244], 12], // United Kingdom
  [[62, 36, 0], 6], // Spain
  [[151, 1, 0], 6], // Italy
  [[130, 236, 0], 4], // Sweden
  [[88, 255, 0], 4], // Turkey
  [[8, 8, 8], 26], // United States
  [[132, 205, 0], 5], // Canada
  [[200, 160, 2], 12], // Brazil
  [[200, 45, 0], 5], // Argentina
  [[189, 240, 0], 5], // Mexico
  [[196, 4, 160], 5], // South Africa
  [[41, 58, 0], 3], // Nigeria
  [[41, 80, 0], 3], // Kenya
  [[213, 42, 0], 4], // United Arab Emirates
  [[203, 197, 0], 12], // India
  [[165, 21, 0], 5], // Singapore
  [[202, 134, 0], 6], // Indonesia
  [[133, 11, 0], 13], // Japan
  [[168, 126, 63], 7], // South Korea
  [[202, 12, 29], 7], // Australia
  [[202, 27, 0], 2], // New Zealand
];

const agent = new Agent({ keepAlive: true, maxSockets: 64 });
const all = CLIENTS.reduce((sum, [, weight]) => sum + weight, 0);

/** Asks on for so many seconds, about so many times a second. */
export async function traffic(seconds, perSecond = 40) {
  const socket = createSocket("udp4");
  socket.on("message", fetchFrom);
  socket.on("error", () => {});
  const until = Date.now() + 1000 * seconds;
  while (Date.now() < until) {
    socket.send(query(client()), DNS_PORT, pick(SERVERS));
    await new Promise((resolve) => setTimeout(resolve, 1000 / perSecond));
  }
  socket.close();
}

function pick(list) {
  return list[Math.floor(Math.random() * list.length)];
}

function client() {
  let at = Math.random() * all;
  for (const [network, weight] of CLIENTS) {
    at -= weight;
    if (at < 0) return network;
  }
  return CLIENTS[0][0];
}

/** A query for the address, with the client's subnet (RFC 7871). */
function query(network) {
  const labels = NAME.split(".").flatMap((label) => [label.length, ...Buffer.from(label)]);
  const id = [Math.floor(256 * Math.random()), Math.floor(256 * Math.random())];
  const head = [...id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
  const question = [...labels, 0, 0, 1, 0, 1];
  const subnet = [0, 8, 0, 7, 0, 1, 24, 0, ...network];
  const options = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, subnet.length, ...subnet];
  return Buffer.from([...head, ...question, ...options]);
}

/** Fetches a few things from the first address of an answer. */
function fetchFrom(reply) {
  // A name of two bytes, type A, class IN, ttl, four bytes of address.
  const at = reply.indexOf(Buffer.from([0, 1, 0, 1]), reply.indexOf(Buffer.from([0, 5, 0, 1])) + 4);
  if (at < 0 || at + 14 > reply.length) return;
  const host = reply.subarray(at + 10, at + 14).join(".");
  const path = Math.random() < 0.03 ? `/?${Math.floor(1e6 * Math.random())}` : pick(PATHS);
  const asked = request({ host, port: HTTP_PORT, path, agent, headers: { host: NAME } }, (response) => response.resume());
  asked.on("error", () => {});
  asked.end();
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await traffic(Number(process.argv[2] ?? 60));
  process.exit(0);
}
