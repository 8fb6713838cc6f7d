"""Customer segments: cluster people by recency, frequency and monetary value. Runs as a SageMaker processing job.

Reads the result of the Athena query (CSV), chooses the number of clusters by the silhouette score, writes
segments/segments.csv and metrics/metrics.json. Ordinary scikit-learn: knows nothing of where it runs.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler

parser = argparse.ArgumentParser()
parser.add_argument("--input", default="/opt/ml/processing/input/rfm")
parser.add_argument("--segments", default="/opt/ml/processing/output/segments")
parser.add_argument("--metrics", default="/opt/ml/processing/output/metrics")
parser.add_argument("--max-clusters", type=int, default=8)
options = parser.parse_args()

files = sorted(path for path in Path(options.input).rglob("*.csv"))
people = pd.concat([pd.read_csv(path) for path in files], ignore_index=True)
print(f"{len(people)} people in {len(files)} file(s)")

features = StandardScaler().fit_transform(
    np.column_stack([people.recency, np.log1p(people.frequency), np.log1p(people.monetary)])
)
sample = min(2000, len(people) - 1)
scores, models = {}, {}
for k in range(3, min(options.max_clusters, len(people) - 1) + 1):
    models[k] = KMeans(n_clusters=k, n_init=4, random_state=0).fit(features)
    scores[k] = float(silhouette_score(features, models[k].labels_, sample_size=sample, random_state=0))
    print(f"k={k} silhouette={scores[k]:.4f}")
best = max(scores, key=scores.get)
people["cluster"] = models[best].labels_

# Names by rank, so that a segment means the same from one run to the next.
profile = people.groupby("cluster")[["recency", "frequency", "monetary"]].mean()
order = profile.sort_values("monetary", ascending=False).index
names = ["champions", "loyal", "promising", "occasional", "at risk", "sleeping", "lost", "one-time"]
title = {cluster: names[min(rank * len(names) // best, len(names) - 1)] for rank, cluster in enumerate(order)}
people["segment"] = people.cluster.map(title)

for folder in (options.segments, options.metrics):
    Path(folder).mkdir(parents=True, exist_ok=True)
columns = ["person_id", "email", "segment", "recency", "frequency", "monetary", "cluster"]
people[columns].to_csv(Path(options.segments) / "segments.csv", index=False)
metrics = {
    "rows": len(people),
    "clusters": best,
    "silhouette": round(scores[best], 4),
    "scores": {str(k): round(score, 4) for k, score in scores.items()},
    "segments": {title[cluster]: int((people.cluster == cluster).sum()) for cluster in order},
}
(Path(options.metrics) / "metrics.json").write_text(json.dumps(metrics))
print(json.dumps(metrics))
print(f"millpond.rows {json.dumps({'read': len(people), 'written': len(people)})}")
