"""The words of a container's recipe, by what they are about.

    class ContainerRecipe(IdentityWords, ProcessWords, ...)         # fluent/recipe.py: the value, and the verbs

Each is a class without fields of its own, whose words return a changed copy of the recipe.
"""
