// Passing errors; after any other, the same subscription would fail again.
const PASSING = new Set(['SHARD_UNAVAILABLE', 'TIMEOUT', 'RATE_LIMITED']);

// Passes each event of a subscription that takes `$after` to `tell`, and resumes after the last one whatever
// happens. `failed` gets lasting errors. Returns a function that ends the subscription.
export function follow(client, query, variables, { tell, failed }) {
  let stop = () => {};
  let stopped = false;
  const subscribe = () => {
    if (stopped) return;
    let over = false;
    const again = (errors) => {
      if (over) return;
      over = true;
      const lasting = [errors ?? []].flat().some(({ extensions }) => !PASSING.has(extensions?.code));
      if (lasting) failed(errors);
      // Not in `next` itself: if the server's `complete` arrived at the same time, graphql-ws 6 would count the
      // end twice and not reconnect.
      setTimeout(() => {
        stop();
        if (!lasting) subscribe();
      }, 500);
    };
    const next = ({ data, errors }) => {
      if (over) return;
      // An incomplete event is requested again.
      if (errors) return again(errors);
      const [event] = Object.values(data);
      tell(event);
      // The client sends these variables again after a reconnect.
      variables.after = event.cursor;
    };
    stop = client.subscribe({ query, variables }, { next, error: again, complete: again });
  };
  subscribe();
  return () => {
    stopped = true;
    stop();
  };
}
