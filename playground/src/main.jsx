import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import "./style.css";

import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";

import example from "./example.graphql?raw";
import { fetcher } from "./fetcher.js";

createRoot(document.getElementById("playground")).render(
  <GraphiQL fetcher={fetcher} defaultQuery={example} defaultEditorToolsVisibility="headers">
    <GraphiQL.Logo>Fowergram</GraphiQL.Logo>
  </GraphiQL>,
);
