// The page of one flame and nothing else.

const graph = flameGraph(data, data.steps);
document.getElementById("controls").append(themeButton());
document.getElementById("content").append(graph);
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, canvas")) return;
  if (event.key === "/") {
    event.preventDefault();
    graph.querySelector("input").focus();
  } else if (event.key === "Escape") graph.querySelector(".fit").click();
});
document.documentElement.dataset.ready = "true";
