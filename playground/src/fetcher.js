import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { createClient } from "graphql-ws";

const socketUrl = new URL("/graphql/ws", location.href);
socketUrl.protocol = location.protocol === "https:" ? "wss:" : "ws:";

let socket = { authorization: undefined, client: undefined };

/**
 * The client that speaks for this token. A socket is bound to the token it was opened with, so another
 * token gets another one; the old one closes by itself when its last subscription ends.
 */
function clientFor(authorization) {
  if (!socket.client || socket.authorization !== authorization) {
    const client = createClient({
      url: socketUrl.href,
      lazy: true,
      connectionParams: authorization ? { authorization } : {},
    });
    socket = { authorization, client };
  }
  return socket.client;
}

function authorizationOf(headers) {
  const name = Object.keys(headers).find((key) => key.toLowerCase() === "authorization");
  return name ? headers[name] : undefined;
}

/** Queries and mutations go by HTTP, subscriptions by WebSocket, both with the headers tab's token. */
export function fetcher(params, options) {
  const fetch = createGraphiQLFetcher({
    url: "/graphql",
    wsClient: clientFor(authorizationOf(options?.headers ?? {})),
    enableIncrementalDelivery: false,
  });
  return fetch(params, options);
}
