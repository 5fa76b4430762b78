"""Write the job texts of the shipped recipes anew; read the difference before you commit it."""

from pathlib import Path

from rlsp_cli.backends.render import render_stage
from rlsp_cli.recipe.load import load_recipe, shipped_recipes
from rlsp_cli.rewards.registry import Registry

for name, path in shipped_recipes().items():
    recipe = load_recipe(path, plugins=Registry())
    if recipe.sft and recipe.sft.backend == "axolotl":
        text = render_stage(recipe, "sft", None).text()
        (Path(__file__).parent / f"{name.replace('/', '-')}.yaml").write_text(text)
