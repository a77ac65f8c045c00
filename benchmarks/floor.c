/* The floor: what a machine needs at least to run a graph of /bin/true. posix_spawn, waitpid, dependency counting;
 * no state, no logs, no stdin to parse but the graph.
 *
 *   floor JOBS GRAPH [PROGRAM]      GRAPH: "n", then per node "k up1 … upk"
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

static int number(FILE *file) {
    int value;
    if (fscanf(file, "%d", &value) != 1) exit(2);
    return value;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    int jobs = atoi(argv[1]);
    FILE *file = fopen(argv[2], "r");
    if (!file || jobs < 1) return 2;
    char *program = argc > 3 ? argv[3] : "/bin/true";
    int n = number(file);
    int *missing = calloc(n, sizeof *missing), *count = calloc(n, sizeof *count), *ready = calloc(n, sizeof *ready);
    int **up = calloc(n, sizeof *up), **down = calloc(n, sizeof *down);
    for (int i = 0; i < n; i++) {
        missing[i] = number(file);
        up[i] = calloc(missing[i] + 1, sizeof **up);
        for (int j = 0; j < missing[i]; j++) count[up[i][j] = number(file)]++;
    }
    for (int i = 0; i < n; i++) down[i] = calloc(count[i] + 1, sizeof **down), count[i] = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < missing[i]; j++) down[up[i][j]][count[up[i][j]]++] = i;

    int first = 0, last = 0, running = 0, done = 0;
    for (int i = 0; i < n; i++)
        if (!missing[i]) ready[last++] = i;
    pid_t *pids = calloc(jobs, sizeof *pids);
    int *nodes = calloc(jobs, sizeof *nodes);
    char *child[] = {program, NULL};
    while (done < n) {
        while (running < jobs && first < last) {
            nodes[running] = ready[first++];
            if (posix_spawn(&pids[running++], program, NULL, NULL, child, environ)) return 3;
        }
        if (!running) return 4; /* a cycle */
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        if (pid < 0 || status) return 5;
        int slot = 0;
        while (pids[slot] != pid) slot++;
        int node = nodes[slot];
        pids[slot] = pids[--running];
        nodes[slot] = nodes[running];
        done++;
        for (int j = 0; j < count[node]; j++)
            if (!--missing[down[node][j]]) ready[last++] = down[node][j];
    }
    return 0;
}
