import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  base: "/playground/",
  plugins: [react()],
  worker: { format: "es" },
  build: {
    target: "es2022",
    sourcemap: false,
    // The editor alone is larger than the default of 500 kB; it is served from the same host.
    chunkSizeWarningLimit: 6000,
    rolldownOptions: {
      // GraphiQL's files carry a hint to React's compiler, which does not run here.
      onwarn: (warning, warn) => warning.code === "MODULE_LEVEL_DIRECTIVE" || warn(warning),
    },
  },
  server: {
    // `npm run dev` beside a server on its default port.
    proxy: { "/graphql": { target: "http://127.0.0.1:8000", ws: true } },
  },
});
