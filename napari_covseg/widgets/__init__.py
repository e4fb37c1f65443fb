"""The only room with windows: thin views of a `Workbench`, and the link between its session and napari's layers."""
