// Asks for the key that every request carries.

import { key } from "./api.js";
import { h, replace } from "./dom.js";

export function showKey(main, refusal, entered) {
  const field = h("input", {
    id: "key", type: "password", required: true, autocomplete: "current-password", spellcheck: "false",
    placeholder: "bs_…", "aria-describedby": "key-help",
  });
  const enter = (event) => {
    event.preventDefault();
    key.set(field.value.trim());
    entered();
  };
  document.title = "Batchscribe";
  replace(main,
    h("section", { class: "narrow" },
      h("h1", {}, "Who is asking?"),
      refusal ? h("p", { class: "refusal", role: "alert" }, refusal) : null,
      h("form", { onsubmit: enter },
        h("label", { for: "key" }, "API key"),
        field,
        h("p", { id: "key-help", class: "hint" },
          "It stays in this tab. On your own machine, ", h("code", {}, "batchscribe up --open"), " fills it in."),
        h("button", { class: "primary" }, "Continue"))));
  field.focus();
}
