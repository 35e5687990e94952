import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateFactory;
import java.security.cert.Extension;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.PKIXRevocationChecker.Option;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/**
 * Java's own path validation with OCSP required. Reads lines of "name TAB certificate TAB CA TAB nonce|plain" and says for each
 * "name TAB good", or what stands in the way: one start of the machine for all, because that takes longer than the questions.
 */
public class Ask {
  public static void main(String[] args) throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = lines.readLine()) != null; ) {
      String[] fields = line.split("\t");
      System.out.println(fields[0] + "\t" + validate(read(fields[1]), read(fields[2]), fields[3].equals("nonce")));
    }
  }

  private static String validate(X509Certificate certificate, X509Certificate ca, boolean withNonce) throws Exception {
    CertPathValidator validator = CertPathValidator.getInstance("PKIX");
    PKIXRevocationChecker checker = (PKIXRevocationChecker) validator.getRevocationChecker();
    checker.setOptions(EnumSet.of(Option.NO_FALLBACK, Option.ONLY_END_ENTITY));
    if (withNonce) checker.setOcspExtensions(List.of(Nonce.random()));
    PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(ca, null)));
    parameters.addCertPathChecker(checker);
    try {
      validator.validate(CertificateFactory.getInstance("X.509").generateCertPath(List.of(certificate)), parameters);
      return "good";
    } catch (CertPathValidatorException problem) {
      return problem.getReason() + ": " + problem.getMessage();
    }
  }

  private static X509Certificate read(String file) throws Exception {
    try (InputStream in = Files.newInputStream(Path.of(file))) {
      return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
    }
  }

  /** RFC 9654: 32 octets in an OCTET STRING, as the value of extension id-pkix-ocsp-nonce. */
  private record Nonce(byte[] value) implements Extension {
    private static final byte[] OID = {0x06, 0x09, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02};

    static Nonce random() {
      byte[] octets = new byte[32];
      new SecureRandom().nextBytes(octets);
      return new Nonce(element(0x04, octets));
    }

    @Override
    public String getId() {
      return "1.3.6.1.5.5.7.48.1.2";
    }

    @Override
    public boolean isCritical() {
      return false;
    }

    @Override
    public byte[] getValue() {
      return value;
    }

    @Override
    public void encode(OutputStream out) throws IOException {
      out.write(element(0x30, OID, element(0x04, value)));
    }

    /** Short lengths alone. */
    private static byte[] element(int tag, byte[]... parts) {
      ByteArrayOutputStream content = new ByteArrayOutputStream();
      for (byte[] part : parts) content.writeBytes(part);
      ByteArrayOutputStream whole = new ByteArrayOutputStream();
      whole.write(tag);
      whole.write(content.size());
      whole.writeBytes(content.toByteArray());
      return whole.toByteArray();
    }
  }
}
