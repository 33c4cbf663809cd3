"""The frozen models: masks, CLIP, DINO, depth and sentence features, each through its public library's own loader."""
