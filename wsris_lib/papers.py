"""Numbers that the papers print, to stand beside ours. Percent, as printed; a missing one isn't known to us."""

ES3NET_TABLE_2 = {  # RefCOCO val, headed mIoU; the alignment alone, before distillation
    "baseline": 45.76,
    "esem": None,
    "lcm": 58.18,
}

METRICS = {"es3net": ("mIoU",), "ehin": ("oIoU", "mIoU", "PointM")}  # of the ablations; the paper prints the first

ABLATIONS = {  # corpus -> table of `ablations` -> row
    "refcoco": {"table2": {"baseline": ES3NET_TABLE_2["baseline"], "+ LCM": ES3NET_TABLE_2["lcm"]}},
    "refcoco+": {
        "table2": {"baseline": 45.76},  # as printed; that it equals RefCOCO's may be a slip
        # EHIN's, overall IoU; the full model's mIoU is 26.77.
        "ehin-table3": {"2 layers": 25.53},
        "ehin-table5": {
            "all": 25.53,
            "without FG": 22.26,
            "without BG": 23.95,
            "without CL": 24.82,
            "FG alone": 17.22,
            "BG alone": 19.51,
        },
    },
}
