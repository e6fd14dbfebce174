(() => {
  "use strict";
  const { figures, templates } = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const mouse = matchMedia("(hover: hover)").matches;
  const places = [...document.querySelectorAll("[data-figure]")];
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: mouse ? "hover" : false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  };
  let chosen = null;
  let round = 0;

  const theme = () => chosen ?? (dark.matches ? "dark" : "light");

  function draw(place, name) {
    const { data, layout } = structuredClone(figures[place.dataset.figure]);
    layout.template = templates[name];
    layout.autosize = true;
    // A finger scrolls the page; only a mouse drags a zoom.
    if (!mouse) layout.dragmode = false;
    return Plotly.react(place, data, layout, config);
  }

  async function drawAll(name) {
    const mine = ++round;
    root.dataset.theme = name;
    delete root.dataset.drawn;
    for (const place of places) {
      try {
        await draw(place, name);
      } catch (fault) {
        // One figure that fails must not take the others along.
        place.textContent = `This figure cannot be drawn here: ${fault}`;
        console.error(fault);
      }
      // Let the page answer between two figures.
      await new Promise((done) => setTimeout(done));
      if (mine !== round) return;
    }
    root.dataset.drawn = "all";
  }

  const button = document.getElementById("theme");
  const label = () => {
    button.textContent = theme() === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${button.textContent.toLowerCase()} colours`);
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    chosen = theme() === "dark" ? "light" : "dark";
    label();
    drawAll(theme());
  });
  dark.addEventListener("change", () => {
    label();
    drawAll(theme());
  });
  addEventListener("beforeprint", () => {
    round++;
    root.dataset.theme = "light";
    places.forEach((place) => draw(place, "light"));
  });
  addEventListener("afterprint", () => drawAll(theme()));
  label();
  drawAll(theme());
})();
