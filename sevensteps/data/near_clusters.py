"""Find the points close to others without comparing all with all: only with those of the clusters nearby.

Points are clustered by k-means on a sample of them. A point is compared with its own cluster and with those whose
border is close to it (compare Sivic and Zisserman, "Video Google", 2003; Jégou, Douze and Schmid, "Product quantization
for nearest neighbor search", 2011). In a cluster, points are sorted by their first value, so that only those that agree
in it are compared.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, Int32, Int64, Shaped

_MOST_VISITS = 12  # clusters that a point is compared with, the closest first

_CROWDED = 4  # times the usual size: of a larger cluster only the part closest in the first value is compared

_PER_CENTER = 40  # points of the sample for each cluster

_ROUNDS = 6  # of k-means; with more, clusters hardly change

_QUERIES, _POINTS = 128, 1024  # points that are compared at once: half a megabyte of products stays in the cache

_MOST_EACH = 10  # close points that a point gets from a cluster, the closest first

Points = Shaped[np.ndarray, "n values"]  # half or single precision

Visits = tuple[Int64[np.ndarray, " visits"], Int32[np.ndarray, " visits"]]

Close = tuple[Int64[np.ndarray, " close"], Int64[np.ndarray, " close"]]


class Clusters:
    """Points in clusters; about as many clusters as each has points.

    Args:
        points: The points.
    """

    def __init__(self, points: Points) -> None:
        count = 2 ** round(np.log2(max(len(points), 1)) / 2)
        self._centers = _centers_of(points, count)
        self._halves = (self._centers**2).sum(1) / 2
        squares = 2 * (self._halves[:, None] + self._halves - self._centers @ self._centers.T)
        self._apart = np.sqrt(np.maximum(squares, 1e-9))
        own = np.concatenate([self._distances(points[rows]).argmin(1) for rows in _blocks(len(points))])
        self._order = np.lexsort((points[:, 0], own)).astype(np.int32)
        self._begins = np.searchsorted(own[self._order], np.arange(count + 1)).tolist()
        self._most = _CROWDED * -(-len(points) // count)
        # With a column of minus half the squared length, products are minus half the squared distance and a constant.
        self._points = np.empty((len(points), points.shape[1] + 1), dtype=np.float32)
        for rows in _blocks(len(points)):
            part = points[self._order[rows]].astype(np.float32)
            self._points[rows] = np.hstack([part, -(part**2).sum(1, keepdims=True) / 2])

    def close_to(self, queries: Points, limit: float, margin: float) -> Iterator[Close]:
        """Yield pairs of a query and a point that are close to each other.

        Args:
            queries: Points, of the set or others.
            limit: The largest squared distance of a pair.
            margin: Clusters are compared whose border is at most this far from a query. At the root of `limit` no pair
                is missed; below, those far beyond the border are.

        Returns:
            Rows of the points, and rows of the queries.
        """
        rows, clusters = self._visits(queries, margin)
        reach = np.sqrt(limit)
        begins = np.searchsorted(clusters, np.arange(len(self._centers) + 1)).tolist()
        for cluster in range(len(self._centers)):
            begin, end = self._begins[cluster : cluster + 2]
            visitors = rows[begins[cluster] : begins[cluster + 1]]
            firsts = self._points[begin:end, 0]
            visitors = visitors[np.argsort(queries[visitors, 0], kind="stable")]
            for start in range(0, len(visitors) if end > begin else 0, _QUERIES):
                block = visitors[start : start + _QUERIES]
                ours = queries[block].astype(np.float32)
                low, high = np.searchsorted(firsts, [ours[0, 0] - reach, ours[-1, 0] + reach]).tolist()
                if high - low > self._most:
                    middle = int(np.searchsorted(firsts, ours[len(ours) // 2, 0]))
                    low = min(max(middle - self._most // 2, low), high - self._most)
                    high = low + self._most
                least = (ours**2).sum(1, keepdims=True) / 2 - np.float32(limit / 2)
                ours = np.hstack([ours, np.ones_like(least)])
                for first in range(begin + low, begin + high, _POINTS):
                    products = ours @ self._points[first : min(first + _POINTS, begin + high)].T
                    near = products > least
                    if near.any():
                        of_query, of_point = _closest(near, products)
                        yield self._order[of_point + first].astype(np.int64), block[of_query]

    def _visits(self, queries: Points, margin: float) -> Visits:
        """Return each query with each cluster that it is compared with, sorted by cluster."""
        rows, clusters = [], []
        for part in _blocks(len(queries)):
            distances = self._distances(queries[part])
            nearest = distances.argmin(1)
            distances -= distances[np.arange(len(distances)), nearest][:, None]
            # Half the difference of two squared distances, by the distance of the centers: how far the border is.
            visits = distances <= np.float32(margin) * self._apart[nearest]
            many = np.flatnonzero(visits.sum(1) > _MOST_VISITS)
            if len(many):
                closest = np.argpartition(distances[many], _MOST_VISITS, axis=1)[:, :_MOST_VISITS]
                visits[many] = False
                visits[many[:, None], closest] = True
            places = np.flatnonzero(visits)
            rows.append(places // len(self._centers) + part.start)
            clusters.append((places % len(self._centers)).astype(np.int32))
        of_query, of_cluster = np.concatenate(rows), np.concatenate(clusters)
        order = np.argsort(of_cluster, kind="stable")
        return of_query[order], of_cluster[order]

    def _distances(self, points: Points) -> Float32[np.ndarray, "n clusters"]:
        """Return half the squared distance of each point from each center, less half its own squared length."""
        distances: Float32[np.ndarray, "n clusters"] = points.astype(np.float32) @ self._centers.T
        np.subtract(self._halves, distances, out=distances)
        return distances


def _centers_of(points: Points, count: int) -> Float32[np.ndarray, "count values"]:
    """Return the centers of clusters, by k-means on a sample; the same points give the same centers."""
    places = np.linspace(0, len(points) - 1, min(len(points), _PER_CENTER * count)).astype(np.int64)
    sample = points[places].astype(np.float32)
    centers = sample[np.random.default_rng(0).choice(len(sample), count, replace=False)]
    for _ in range(_ROUNDS):
        halves = (centers**2).sum(1) / 2
        own = np.concatenate([(halves - sample[rows] @ centers.T).argmin(1) for rows in _blocks(len(sample))])
        order, sizes = np.argsort(own, kind="stable"), np.bincount(own, minlength=count)
        is_used = sizes > 0
        begins = (np.cumsum(sizes) - sizes)[is_used]
        centers[is_used] = np.add.reduceat(sample[order], begins, axis=0) / sizes[is_used, None]
    return np.ascontiguousarray(centers)


def _closest(near: np.ndarray, products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns that are near; of a row with many, only those with the largest products."""
    rows, columns = np.divmod(np.flatnonzero(near), near.shape[1])
    crowded = np.flatnonzero(np.bincount(rows, minlength=len(near)) > _MOST_EACH)
    if len(crowded):
        best = np.argpartition(-products[crowded], _MOST_EACH, axis=1)[:, :_MOST_EACH]
        near[crowded] = False
        near[crowded[:, None], best] = True
        rows, columns = np.divmod(np.flatnonzero(near), near.shape[1])
    return rows, columns


def _blocks(count: int) -> Iterator[slice]:
    """Divide points into parts whose distances from all centers stay in the cache."""
    return (slice(first, first + _QUERIES) for first in range(0, count, _QUERIES))
