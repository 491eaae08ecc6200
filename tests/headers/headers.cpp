/* A test of the kernels' C++ without Python: under sanitizers, on other processors and systems.  Every array is as
   long as it has to be and no longer, so that whatever lies beyond its end is found; results are held against the
   formulas in double.  It prints what fails, and returns how many did. */
#include "elementwise.h"
#include "logistic_loss.h"
#include "rows.h"
#include "storage.h"

#include <stdio.h>
#include <stdlib.h>

using namespace ffkernels;

static int failed = 0;

static void check(bool good, const char *what, long n) {
    if (!good && failed++ < 20) printf("%s of %ld\n", what, n);
}

template <class T> struct exact {
    T *at;
    explicit exact(ptrdiff_t n) : at((T *)malloc(n * sizeof(T) + !n)) {}
    ~exact() { free(at); }
    exact(const exact &) = delete;
};

/* Multiples of 1/16 in [-8, 8), of which every type holds the digits that it is given. */
static double number(ptrdiff_t i) { return (double)((i * 37 + 11) % 256 - 128) / 16; }
template <class T> static void fill(T *x, ptrdiff_t n, ptrdiff_t first = 0) {
    for (ptrdiff_t i = 0; i < n; i++) set_value(x[i], number(first + i));
}
static bool near(double got, double want, double relative, double absolute) {
    return std::fabs(got - want) <= relative * std::fabs(want) + absolute;
}
template <class T> constexpr double epsilon = sizeof(T) == 8 ? 1e-13 : sizeof(T) == 4 ? 1e-5 : 1e-2;
template <class T> constexpr int storage_of = FLOAT32;
template <> constexpr int storage_of<double> = FLOAT64;
template <> constexpr int storage_of<float16> = FLOAT16;
template <> constexpr int storage_of<bfloat16> = BFLOAT16;

/* ---- half precision: a block of them as one by integers, all there are and some floats in between ------------- */

template <class Half> static void halves() {
    exact<Half> x(FF_LANES);
    exact<float> y(FF_LANES);
    for (uint32_t first = 0; first < 65536; first += FF_LANES) {
        EACH_LANE(l) x.at[l].bits = (uint16_t)(first + l);
        widen(x.at, y.at);
        EACH_LANE(l) check(to_bits(y.at[l]) == to_bits(widened(x.at[l])), "widen", first + l);
    }
    for (uint64_t u = 0; u < ((uint64_t)1 << 32); u += 99991) {
        EACH_LANE(l) y.at[l] = from_bits<float>((uint32_t)u + l);
        narrow(y.at, x.at);
        EACH_LANE(l) check(x.at[l].bits == rounded<Half>(y.at[l]) >> 16, "narrow", (long)u + l);
    }
}

/* ---- memory: strides and tiles ---------------------------------------------------------------------------------- */

template <class T> static void strides(ptrdiff_t n) {
    using real = computed<T>;
    constexpr ptrdiff_t steps[] = {1, 3, -1, -2};
    for (ptrdiff_t step : steps) {
        const ptrdiff_t size = n ? (n - 1) * (step < 0 ? -step : step) + 1 : 0;
        exact<T> x(size), back(size);
        exact<real> y(n);
        fill(x.at, size);
        fill(back.at, size);
        const ptrdiff_t first = step < 0 && n ? size - 1 : 0, bytes = step * (ptrdiff_t)sizeof(T);
        gather(storage_of<T>, (const char *)(x.at + first), bytes, y.at, n);
        for (ptrdiff_t i = 0; i < n; i++) check(y.at[i] == value_of(x.at[first + i * step]), "gather", (long)n);
        for (ptrdiff_t i = 0; i < n; i++) y.at[i] = -y.at[i];
        scatter(storage_of<T>, y.at, (char *)(back.at + first), bytes, n);
        for (ptrdiff_t i = 0; i < size; i++) {
            const bool written = (i - first) % step == 0;
            check(value_of(back.at[i]) == (written ? -1 : 1) * value_of(x.at[i]), "scatter", (long)n);
        }
    }
}

template <class T> static void tiles(ptrdiff_t n) {
    using real = computed<T>;
    for (ptrdiff_t rows = 1; rows <= FF_LANES; rows++) {
        for (int across = 0; across < 2; across++) {
            exact<T> x(rows * n), back(rows * n);
            exact<real> tile(FF_LANES * n);
            fill(x.at, rows * n);
            const ptrdiff_t size = sizeof(T), row = across ? size : n * size, axis = across ? rows * size : size;
            load_tile(storage_of<T>, (const char *)x.at, row, axis, rows, n, tile.at);
            for (ptrdiff_t k = 0; k < n; k++) {
                for (ptrdiff_t l = 0; l < FF_LANES; l++) {
                    const ptrdiff_t own = l < rows ? l : rows - 1;
                    const T *from = x.at + (own * row + k * axis) / size;
                    check(tile.at[k * FF_LANES + l] == value_of(*from), "load_tile", (long)n);
                }
            }
            store_tile(storage_of<T>, tile.at, rows, n, (char *)back.at, row, axis);
            check(!memcmp(x.at, back.at, rows * n * size), "store_tile", (long)n);
        }
    }
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

template <class T> static void rows_of(ptrdiff_t n) {
    using real = computed<T>;
    exact<T> x(n), y(n);
    exact<real> e(n);
    fill(x.at, n);
    double largest = -INFINITY, total = 0;
    for (ptrdiff_t i = 0; i < n; i++) largest = largest < value_of(x.at[i]) ? value_of(x.at[i]) : largest;
    for (ptrdiff_t i = 0; i < n; i++) total += std::exp(value_of(x.at[i]) - largest);
    const real m = row_max(x.at, n);
    check(m == largest, "row_max", (long)n);
    check(near(row_excess(x.at, m, n), total - 1, epsilon<real>, epsilon<real>), "row_excess", (long)n);
    check(near(row_exp_excess(x.at, m, e.at, n), total - 1, epsilon<real>, epsilon<real>), "row_exp_excess", (long)n);
    row_scale(e.at, 1 / total, y.at, n);
    for (ptrdiff_t i = 0; i < n; i++)
        check(near(value_of(y.at[i]), std::exp(value_of(x.at[i]) - largest) / total, epsilon<T>, 1e-7),
              "row_scale", (long)n);
    row_log_softmax(x.at, m, std::log(total), y.at, n);
    for (ptrdiff_t i = 0; i < n; i++)
        check(near(value_of(y.at[i]), value_of(x.at[i]) - largest - std::log(total), epsilon<T>, epsilon<T>),
              "row_log_softmax", (long)n);
    if constexpr (!is_half<T>) {
        exact<T> z(n), slopes(n);
        double sum = 0, dot = 0, gap = 0;
        fill(z.at, n, 5);
        for (ptrdiff_t i = 0; i < n; i++) {
            sum += x.at[i];
            dot += (double)x.at[i] * z.at[i];
            gap += z.at[i] == 0 ? 0 : (double)z.at[i] * (m - x.at[i]);
        }
        check(near(row_sum(x.at, n), sum, epsilon<T>, 8 * n * epsilon<T>), "row_sum", (long)n);
        check(near(row_dot(x.at, z.at, n), dot, epsilon<T>, 64 * n * epsilon<T>), "row_dot", (long)n);
        check(near(row_gap(x.at, m, z.at, n), gap, epsilon<T>, 128 * n * epsilon<T>), "row_gap", (long)n);
        row_softmax_backward(x.at, z.at, 0.5, slopes.at, n);
        for (ptrdiff_t i = 0; i < n; i++)
            check(near(slopes.at[i], z.at[i] * (x.at[i] - 0.5), epsilon<T>, 0), "row_softmax_backward", (long)n);
    }
}

/* ---- elementwise -------------------------------------------------------------------------------------------- */

template <class Function, class T, class Formula>
static void elementwise_of(ptrdiff_t n, const char *name, Formula formula) {
    span_function span = nullptr;
    if constexpr (!is_half<T> || has_half) span = spans<Function>[storage_of<T>];
    if (!span) return; /* of half precision, which is then converted in pieces */
    exact<T> x(n), y(n);
    fill(x.at, n);
    const double numbers[] = {0.5};
    char *operands[] = {(char *)x.at, (char *)y.at};
    span(operands, numbers, n);
    for (ptrdiff_t i = 0; i < n; i++)
        check(near(value_of(y.at[i]), formula(value_of(x.at[i])), epsilon<T>, epsilon<T>), name, (long)n);
    operands[1] = operands[0];
    span(operands, numbers, n);
    check(!memcmp(x.at, y.at, n * sizeof(T)), name, (long)n);
}

template <class T> static void elementwise_all(ptrdiff_t n) {
    const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
    elementwise_of<elementwise::relu, T>(n, "relu", [](double x) { return x > 0 ? x : 0; });
    elementwise_of<elementwise::sigmoid, T>(n, "sigmoid", sigmoid);
    elementwise_of<elementwise::tanh, T>(n, "tanh", [](double x) { return std::tanh(x); });
    elementwise_of<forward<elementwise::leaky_relu>, T>(n, "leaky_relu", [](double x) { return x < 0 ? x / 2 : x; });
    elementwise_of<forward<elementwise::elu>, T>(n, "elu", [](double x) { return x < 0 ? std::expm1(x) / 2 : x; });
    elementwise_of<forward<elementwise::softplus>, T>(n, "softplus", [](double x) { return std::log1p(std::exp(x)); });
    elementwise_of<forward<elementwise::silu>, T>(n, "silu", [=](double x) { return x * sigmoid(x); });
    elementwise_of<forward<elementwise::gelu>, T>(n, "gelu", [](double x) {
        return x * std::erfc(-x / std::sqrt(2.0)) / 2;
    });
}

template <class T> static void all_of(ptrdiff_t n) {
    strides<T>(n);
    elementwise_all<T>(n);
    if (n == 0) return;
    rows_of<T>(n);
    if (n <= 130) tiles<T>(n);
}

int main() {
    halves<float16>();
    halves<bfloat16>();
    for (ptrdiff_t n = 0; n < 1100; n += n < 70 || n % 128 > 125 || n % 128 < 2 ? 1 : 31) {
        all_of<float>(n);
        all_of<double>(n);
        all_of<float16>(n);
        all_of<bfloat16>(n);
    }
    printf("%d failed\n", failed);
    return failed != 0;
}
