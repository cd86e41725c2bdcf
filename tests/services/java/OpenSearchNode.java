import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

import org.opensearch.analysis.common.CommonAnalysisPlugin;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.index.mapper.MapperExtrasPlugin;
import org.opensearch.index.reindex.ReindexPlugin;
import org.opensearch.join.ParentJoinPlugin;
import org.opensearch.knn.plugin.KNNPlugin;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.painless.PainlessPlugin;
import org.opensearch.plugins.Plugin;
import org.opensearch.script.mustache.MustachePlugin;
import org.opensearch.transport.Netty4Plugin;

/**
 * An OpenSearch node made from jars on the class path: {@code OpenSearchNode HOME PORT}.
 *
 * <p>OpenSearch's own main class wants an unpacked distribution (bin/, modules/, a security policy), which no package registry
 * offers. {@link Node} itself doesn't: its protected constructor takes the plugins' classes, where the public one looks for them
 * in the modules folder. SIGTERM closes the node in an orderly way.
 */
public final class OpenSearchNode extends Node {

    private static final List<Class<? extends Plugin>> PLUGINS = List.of(
        Netty4Plugin.class,
        PainlessPlugin.class,
        CommonAnalysisPlugin.class,
        MapperExtrasPlugin.class,
        ReindexPlugin.class,
        ParentJoinPlugin.class,
        MustachePlugin.class,
        KNNPlugin.class);

    private OpenSearchNode(Environment environment) {
        super(environment, PLUGINS, false);
    }

    private static Settings settings(Path home, String port) {
        return Settings.builder()
            .put("path.home", home.toString())
            .put("cluster.name", "argilla-bridge-tests")
            .put("node.name", "node")
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("http.port", port)
            .put("http.type", "netty4")
            .put("transport.type", "netty4")
            .put("transport.port", "0") // nobody connects to it
            .put("node.processors", "2")
            // A full disk is the test machine's business, not a reason to make indices read-only.
            .put("cluster.routing.allocation.disk.threshold_enabled", "false")
            .build();
    }

    public static void main(String[] args) throws Exception {
        Path home = Path.of(args[0]).toAbsolutePath();
        Path config = Files.createDirectories(home.resolve("config"));
        LogConfigurator.setNodeName("node");
        Environment environment =
            InternalSettingsPreparer.prepareEnvironment(settings(home, args[1]), Map.of(), config, () -> "node");
        Node node = new OpenSearchNode(environment);
        node.start();
        CountDownLatch closed = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception e) {
                e.printStackTrace();
            } finally {
                closed.countDown();
            }
        }));
        closed.await();
    }
}
