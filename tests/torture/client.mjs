// Listeners for the torture test, each a graphql-ws client of its own. Orders come as lines of JSON:
//
//   {"open": 7, "urls": […], "authorization": "…", "query": "…", "variables": {…}}
//   {"cut": 7}
//
// and each event goes out as {"listener": 7, "event": {…}}, what must not be as {"listener": 7, "fault": …}.
import { createInterface } from 'node:readline';

import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

import { follow } from './resume.mjs';

const sockets = new Map();
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

function open({ open: listener, urls, authorization, query, variables }) {
  let turn = listener;
  const client = createClient({
    webSocketImpl: WebSocket,
    url: () => urls[turn++ % urls.length],
    connectionParams: { authorization },
    retryAttempts: Infinity,
    // Also where nobody answers, which is no close of a socket.
    shouldRetry: () => true,
    retryWait: () => new Promise((resolve) => setTimeout(resolve, 100)),
    on: { opened: (socket) => sockets.set(listener, socket) },
  });
  follow(client, query, variables, {
    tell: (event) => say({ listener, event }),
    failed: (errors) => say({ listener, fault: errors }),
  });
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const order = JSON.parse(line);
    if ('open' in order) open(order);
    // Without a word to the other side, as when a phone loses its network.
    else sockets.get(order.cut)?.terminate();
  })
  .on('close', () => process.exit());
