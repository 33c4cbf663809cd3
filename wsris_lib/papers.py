"""Numbers that the papers print, to stand beside ours. Percent, as printed; a missing one isn't known to us."""

ES3NET_TABLE_2 = {  # RefCOCO val, headed mIoU; the alignment alone, before distillation
    "baseline": 45.76,
    "esem": None,
    "lcm": 58.18,
}

# by table and row of `ablations`
ES3NET = {"table2": {"baseline": ES3NET_TABLE_2["baseline"], "+ LCM": ES3NET_TABLE_2["lcm"]}}
