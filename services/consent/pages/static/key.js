"use strict";
// Keys need script. Without it, or in a browser that has none, the form stays hidden and her words let her in.
(() => {
  const form = document.getElementById("key");
  const able = window.PublicKeyCredential && PublicKeyCredential.parseCreationOptionsFromJSON;
  // A site that is named by numbers alone can have no keys.
  if (!form || !able || /^[\d.]+$|:/.test(location.hostname)) return;
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const options = JSON.parse(form.dataset.options);
      const key = form.dataset.make
        ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
        : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
      form.elements.key.value = key.id;
      form.elements.credential.value = JSON.stringify(key.toJSON());
      form.submit();
    } catch {
      document.getElementById("key-trouble").hidden = false;
    }
  });
})();
