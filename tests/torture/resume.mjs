// Errors that pass; after all others the same subscription would fail again.
const PASSING = new Set(['SHARD_UNAVAILABLE', 'TIMEOUT', 'RATE_LIMITED']);

// Tells each event of a subscription that takes `$after`, and comes back behind the last one whatever
// happens. `failed` gets errors that do not pass. What it returns ends it.
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
      // Never stopped in `next` itself: if the server's `complete` came along, graphql-ws 6 would count the
      // end twice, and connect no more.
      setTimeout(() => {
        stop();
        if (!lasting) subscribe();
      }, 500);
    };
    const next = ({ data, errors }) => {
      if (over) return;
      // An event that could not be told in full is asked for again.
      if (errors) return again(errors);
      const [event] = Object.values(data);
      tell(event);
      // The client sends these variables again whenever it has connected again.
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
